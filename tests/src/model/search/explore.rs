//! Breadth first through every state, each kept once.

use super::drain::drain;
use super::scope::Scope;
use super::shape::{StoreShape, shape};
use super::step::{Asked, Event, Move};
use super::store::Defect;
use super::system::System;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// A hash is its own hash.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed")
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type Shapes = HashSet<u64, BuildHasherDefault<Itself>>;

/// A state: how it was reached first.
#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    chosen: Move,
}

/// What was found.
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// New states at each depth.
    pub(super) levels: Vec<usize>,
    pub(super) edges: usize,
    /// States of the store alone with a call to it, and the first way to each.
    pub(super) calls: Vec<(u32, Move)>,
    /// The first state with each state of the store from which everything was brought to an end.
    pub(super) ends: Vec<u32>,
}

/// The shortest way to something wrong.
pub(super) struct Wrong {
    pub(super) moves: Vec<Move>,
    /// What was asked after that to bring everything to an end.
    pub(super) ending: Vec<Asked>,
    pub(super) what: String,
}

/// The root has no parent.
const ROOT: u32 = 0;

impl Graph {
    pub(super) fn states(&self) -> usize {
        self.nodes.len()
    }

    /// The moves from the root to a state.
    pub(super) fn way(&self, mut node: u32) -> Vec<Move> {
        let mut moves = Vec::new();
        while node != ROOT {
            let at = self.nodes[node as usize];
            moves.push(at.chosen);
            node = at.parent;
        }
        moves.reverse();
        moves
    }
}

/// Finds the states again, which are too large to be kept: neighbours have most of their way in common.
struct Walker {
    way: Vec<(u32, System)>,
}

impl Walker {
    fn new() -> Self {
        Self { way: vec![(ROOT, System::new())] }
    }

    fn go(&mut self, nodes: &[Node], node: u32, scope: &Scope, defect: Option<&Defect>) -> &System {
        let mut missing = Vec::new();
        let mut at = node;
        // Parents have smaller numbers, so the way ends where both meet.
        while self.way.last().is_some_and(|(known, _)| *known != at) {
            if self.way.last().is_some_and(|(known, _)| *known > at) {
                self.way.pop();
            } else {
                missing.push(at);
                at = nodes[at as usize].parent;
            }
        }
        for step in missing.into_iter().rev() {
            let mut system = self.way.last().expect("the root stays").1.clone();
            system.make(nodes[step as usize].chosen, scope, defect).expect("it went well the first time");
            self.way.push((step, system));
        }
        &self.way.last().expect("the root stays").1
    }
}

/// Looks at every state that can be reached in so many events; with `ends`, brings everything to an end from each of
/// those that take so many.
pub(super) fn explore(
    scope: &Scope,
    depth: usize,
    ends: bool,
    defect: Option<&Defect>,
) -> Result<Graph, Box<Wrong>> {
    let root = System::new();
    let mut seen = Shapes::default();
    let mut calls = Shapes::default();
    let mut drained = Shapes::default();
    seen.insert(shape(&root));
    let mut graph = Graph {
        nodes: vec![Node { parent: ROOT, chosen: Move { event: Event::Pass, other: false } }],
        levels: vec![1],
        edges: 0,
        calls: Vec::new(),
        ends: Vec::new(),
    };
    let mut level = 0..1;
    for at in 1..=depth {
        let mut walker = Walker::new();
        for node in level.clone() {
            let node = u32::try_from(node).expect("fewer states than u32::MAX");
            let system = walker.go(&graph.nodes, node, scope, defect);
            let store = StoreShape::new(system);
            for chosen in system.moves(scope) {
                graph.edges += 1;
                if let Some(call) = store.with_call(chosen.event)
                    && calls.insert(call)
                {
                    graph.calls.push((node, chosen));
                }
                let mut next = system.clone();
                let wrong = |graph: &Graph, what| {
                    let moves = [graph.way(node), vec![chosen]].concat();
                    Box::new(Wrong { moves, ending: Vec::new(), what })
                };
                next.make(chosen, scope, defect).map_err(|what| wrong(&graph, what))?;
                if !seen.insert(shape(&next)) {
                    continue;
                }
                graph.nodes.push(Node { parent: node, chosen });
                if at < depth || !ends {
                    continue;
                }
                let mut ending = Vec::new();
                match drain(next, scope, defect, &mut |shape| drained.insert(shape), &mut |asked| {
                    ending.push(asked)
                }) {
                    Ok(false) => {}
                    Ok(true) => graph.ends.push(u32::try_from(graph.nodes.len() - 1).expect("as before")),
                    Err(what) => return Err(Box::new(Wrong { ending, ..*wrong(&graph, what) })),
                }
            }
        }
        level = level.end..graph.nodes.len();
        graph.levels.push(level.len());
    }
    Ok(graph)
}
