//! What must be true of lines and limits in the server.

use super::store::{hex, number};
use std::collections::{HashMap, HashSet};

type Hash = HashMap<Vec<u8>, Vec<u8>>;
type Place = (String, Vec<u8>, i64);

const SUSPECT: i64 = 1 << 50;
const LINE: i64 = 3 << 50;

/// The lines of one shard.
pub(crate) struct Lines {
    pub(crate) letters: Hash,
    pub(crate) states: Hash,
    pub(crate) in_line: HashSet<Vec<u8>>,
    pub(crate) turns: HashSet<Vec<u8>>,
}

/// As scripts keep it.
struct State {
    kind: u16,
    weight: u16,
    out: u32,
    waiting: u32,
    back: u8,
    place: u8,
    at: u64,
    head: Vec<u8>,
}

impl State {
    fn read(bytes: &[u8]) -> Self {
        let two = |at: usize| u16::from_be_bytes(bytes[at..at + 2].try_into().expect("two"));
        let four = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
        let at = f64::from_be_bytes(bytes[16..24].try_into().expect("eight"));
        Self {
            kind: two(0),
            weight: two(2),
            out: four(6),
            waiting: four(10),
            back: bytes[14],
            place: bytes[15],
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number of µs"
            )]
            at: at as u64,
            head: bytes[32..].to_vec(),
        }
    }

    fn turn(&self, name: &[u8]) -> Option<Vec<u8>> {
        let at = self.at.to_be_bytes();
        let kind = self.kind.to_be_bytes();
        match self.place {
            0 => None,
            1 => Some([&kind, at.as_slice(), name].concat()),
            2 | 5 => Some([&[0, 0, self.place - 2], at.as_slice(), name].concat()),
            _ => Some([&[0, 0, self.place - 2], kind.as_slice(), name].concat()),
        }
    }
}

impl Lines {
    pub(crate) fn problems(&self, jobs: &Hash, running: &Hash, places: &[Place]) -> Vec<String> {
        let mut problems = Vec::new();
        let in_lanes: HashMap<&[u8], i64> =
            places.iter().filter(|p| p.0.starts_with("r:")).map(|p| (&p.1[..16], p.2)).collect();
        let mut counted: HashMap<&[u8], (u32, u32)> = HashMap::new();
        for (id, text) in &self.letters {
            let (letter, name) = (text[0], &text[1..]);
            let score = in_lanes.get(id.as_slice()).copied().unwrap_or(0);
            let is = match () {
                () if running.contains_key(id) || (SUSPECT..LINE).contains(&score) => b'o',
                () if score >= LINE => b'w',
                () => b'n',
            };
            if !jobs.contains_key(id) || letter != is {
                problems.push(format!("job {} has the letter {letter} and is {is}", hex(id)));
            }
            let (waiting, out) = counted.entry(name).or_default();
            *waiting += u32::from(is == b'w');
            *out += u32::from(is == b'o');
            let member = |m: &&Vec<u8>| m.starts_with(name) && &m[m.len() - 19..m.len() - 3] == id.as_slice();
            if self.in_line.iter().filter(member).count() != usize::from(is == b'w') {
                problems.push(format!("job {} is not where it waits, or is and does not", hex(id)));
            }
        }
        let strays = in_lanes.iter().filter(|(id, at)| **at >= LINE && !self.letters.contains_key(**id));
        problems.extend(strays.map(|(id, _)| format!("job {} waits in no line", hex(id))));
        let waiting: u32 = counted.values().map(|c| c.0).sum();
        if self.in_line.len() != waiting as usize {
            problems.push(format!("{} entries in lines, {waiting} jobs", self.in_line.len()));
        }
        let mut turns = self.turns.clone();
        for (name, state) in &self.states {
            let state = State::read(state);
            let line = String::from_utf8_lossy(name);
            let (waiting, out) = counted.remove(name.as_slice()).unwrap_or_default();
            if (state.waiting, state.out) != (waiting, out) {
                problems.push(format!(
                    "{line}: says {} and {}, has {waiting} and {out}",
                    state.waiting, state.out
                ));
            }
            let turn = state.turn(name);
            if turn.as_ref().is_some_and(|turn| !turns.remove(turn)) || (waiting > 0 && turn.is_none()) {
                problems.push(format!("{line}: it has no turn, place {}", state.place));
            }
            let empty = turn.is_none() && waiting == 0 && out == 0 && state.weight == 1;
            if empty && state.head.is_empty() {
                problems.push(format!("{line}: it is kept for nothing"));
            }
            if !state.head.is_empty() {
                let letter = self.letters.get(&state.head).map(|text| text[0]);
                if letter.is_none() || (letter == Some(b'w')) != (state.back == 1) {
                    problems.push(format!("{line}: it stands still for {letter:?}, back: {}", state.back));
                }
            }
        }
        problems.extend(turns.iter().map(|turn| format!("a turn of no line: {}", hex(turn))));
        let lost = counted.iter().filter(|(_, (waiting, out))| waiting + out > 0);
        problems.extend(lost.map(|(name, _)| format!("no line {}", String::from_utf8_lossy(name))));
        problems
    }
}

pub(crate) fn problems_of_limit(
    q: &Hash,
    run: &Hash,
    ends: &[(Vec<u8>, i64)],
) -> impl Iterator<Item = String> + use<> {
    let used = q.get(b"used".as_slice()).map_or(0, |n| number(n));
    let first = |text: &[u8]| number(text.split(|b| *b == b' ').next().expect("there is one"));
    let held: i64 = run.values().map(|text| first(text)).sum();
    let same = ends.len() == run.len() && ends.iter().all(|(holder, _)| run.contains_key(holder));
    let counts = (used != held).then(|| format!("{used} slots are used, {held} are held"));
    counts.into_iter().chain((!same).then(|| "holders that never end, or are none".to_owned()))
}
