use super::explore::explore;
use super::scope::SCOPES;
use std::time::Instant;

#[test]
fn counts() {
    let depth = std::env::var("DEPTH").map_or(6, |d| d.parse().unwrap());
    for scope in &SCOPES {
        let began = Instant::now();
        match explore(scope, depth, None) {
            Ok(graph) => println!("{} {depth}: {:?} states {} edges {} calls {} drained {} {:?}", scope.name, graph.levels, graph.states(), graph.edges, graph.calls.len(), graph.drained, began.elapsed()),
            Err(wrong) => panic!("{:#?} {}", wrong.moves, wrong.what),
        }
    }
}
