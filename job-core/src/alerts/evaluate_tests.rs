use super::*;
use proptest::prelude::*;

const QUEUE: QueueName = QueueName::from_static("email");
const MAIL: Kind = Kind::from_static("mail");
const STEP: Duration = Duration::from_secs(10);

fn dead(jobs: u64) -> Gauges {
    Gauges { dead: jobs, ..Gauges::default() }
}

/// One ready job with this number, enqueued long ago.
fn ready(number: u64, given: u64) -> Gauges {
    let since_enqueued = Duration::from_secs(1_000_000);
    let gauge = KindGauge { kind: MAIL, part: 0, number, since_enqueued };
    Gauges { ready: 1, given: vec![given], kinds: vec![gauge], ..Gauges::default() }
}

/// Looks every ten seconds; the events of each look.
fn events(rule: Rule, handled: bool, looks: impl IntoIterator<Item = Gauges>) -> Vec<Option<AlertEvent>> {
    let mut evaluation = Evaluation::new(vec![rule]);
    let start = Instant::now();
    let looks = (0..).zip(looks);
    looks
        .map(|(n, gauges)| {
            let found = evaluation.look(&QUEUE, &gauges, |_| handled, start + STEP * n);
            assert!(found.len() < 2, "{found:?}");
            found.first().map(|f| f.event)
        })
        .collect()
}

const RAISED: Option<AlertEvent> = Some(AlertEvent::Raised);
const CLEARED: Option<AlertEvent> = Some(AlertEvent::Cleared);

#[test]
fn a_paused_kind_raises_nothing() {
    for rule in [Rule::oldest_ready(STEP), Rule::no_worker(STEP)] {
        let waits = || (0..4).map(|_| ready(1, 1));
        let paused = || waits().map(|gauges| Gauges { paused_kinds: vec![MAIL], ..gauges });
        assert!(events(rule.clone(), false, waits()).contains(&RAISED), "{rule:?}");
        assert_eq!(events(rule.clone(), false, paused()), [None; 4]);
        let then_paused = events(rule, false, waits().chain(paused()));
        assert_eq!(then_paused.into_iter().flatten().last(), Some(AlertEvent::Cleared));
    }
}

#[test]
fn the_first_dead_job_raises_and_the_last_one_clears() {
    let seen = events(Rule::dead_depth(1), true, [0, 1, 2, 1, 0, 0].map(dead));
    assert_eq!(seen, [None, RAISED, None, None, CLEARED, None]);
}

#[test]
fn between_the_two_levels_nothing_changes() {
    let rule = Rule::dead_depth(10).clears_below(5);
    let seen = events(rule, true, [9, 10, 9, 5, 10, 4, 9, 5, 10].map(dead));
    assert_eq!(seen, [None, RAISED, None, None, None, CLEARED, None, None, RAISED]);
}

#[test]
fn a_level_must_hold_to_raise_and_to_clear() {
    let rule = Rule::dead_depth(1).held_for(STEP * 2);
    let seen = events(rule, true, [1, 1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0].map(dead));
    let mut wanted = [None; 12];
    (wanted[5], wanted[11]) = (RAISED, CLEARED);
    assert_eq!(seen, wanted);
}

#[test]
fn a_failed_look_ends_what_was_held() {
    let mut evaluation = Evaluation::new(vec![Rule::dead_depth(1).held_for(STEP)]);
    let start = Instant::now();
    assert!(evaluation.look(&QUEUE, &dead(1), |_| true, start).is_empty());
    evaluation.miss(&QUEUE);
    assert!(evaluation.look(&QUEUE, &dead(1), |_| true, start + STEP).is_empty(), "nobody looked meanwhile");
    assert_eq!(evaluation.look(&QUEUE, &dead(1), |_| true, start + STEP * 2).len(), 1);
    evaluation.miss(&QUEUE);
    assert_eq!(evaluation.raised(), 1, "a raised alert stays");
}

#[test]
fn growth_is_what_died_lately_whatever_was_replayed() {
    let rule = Rule::dead_growth(10, STEP * 3);
    // 100 were there before; 6 die, all are replayed, 5 die; then nothing.
    let seen = events(rule, true, [100, 106, 0, 5, 5, 5, 5].map(dead));
    assert_eq!(seen, [None, None, None, RAISED, None, CLEARED, None]);
}

#[test]
fn time_before_a_job_became_ready_does_not_count() {
    let rule = || Rule::oldest_ready(STEP * 3);
    // The same job waits.
    let waits = events(rule(), true, vec![ready(5, 7); 5]);
    assert_eq!(waits, [None, None, None, RAISED, None]);
    // Each look finds a job that became ready just now, though it was enqueued long ago: retries, for example.
    let fresh = events(rule(), true, (5..12).map(|n| ready(n, n)));
    assert_eq!(fresh, [None; 7]);
    // Every job is taken, but so late that each has been ready for four looks by then.
    let backlog = events(rule(), true, (0..8).map(|n| ready(n + 1, n + 5)));
    assert!(backlog.contains(&RAISED) && !backlog.contains(&CLEARED), "{backlog:?}");
}

#[test]
fn a_kind_has_no_worker_when_nobody_takes_its_first_job() {
    let rule = || Rule::no_worker(STEP * 2);
    assert_eq!(events(rule(), false, vec![ready(5, 5); 4]), [None, None, RAISED, None]);
    assert_eq!(events(rule(), true, vec![ready(5, 5); 4]), [None; 4], "this process handles it");
    let taken = events(rule(), false, (5..9).map(|n| ready(n, 100)));
    assert_eq!(taken, [None; 4], "somebody else handles it");
    let paused = Gauges { paused: true, ..ready(5, 5) };
    assert_eq!(events(rule(), false, vec![paused; 4]), [None; 4]);
    let gone = events(rule(), false, [ready(5, 5), ready(5, 5), ready(5, 5), dead(0)]);
    assert_eq!(gone, [None, None, RAISED, CLEARED]);
}

#[test]
fn rules_may_concern_one_queue() {
    let mut evaluation = Evaluation::new(vec![Rule::dead_depth(1).only_queue("email")]);
    let (now, other) = (Instant::now(), QueueName::from_static("other"));
    assert!(evaluation.look(&other, &dead(9), |_| true, now).is_empty());
    let found = evaluation.look(&QUEUE, &dead(9), |_| true, now);
    assert_eq!((found[0].key().as_str(), found[0].value), ("dead_depth/email", 9));
}

proptest! {
    /// Raises and clears take turns; each is justified by every look of the time it had to hold; and once a level has been
    /// held for long enough the latch is on its side.
    #[test]
    fn every_switch_is_justified(
        values in prop::collection::vec(0_u64..12, 1..80),
        raises_at in 1_u64..10,
        gap in 0_u64..10,
        hold in 0_u32..4,
    ) {
        let clears_below = raises_at.saturating_sub(gap).max(1);
        let mut rule = Rule::dead_depth(1).held_for(STEP * hold);
        (rule.raises_at, rule.clears_below) = (raises_at, clears_below);
        let seen = events(rule, true, values.iter().copied().map(dead));
        let mut raised = false;
        for (n, event) in seen.iter().enumerate() {
            let lasted = n.checked_sub(hold as usize).map(|from| &values[from..=n]);
            let high = lasted.is_some_and(|v| v.iter().all(|v| *v >= raises_at));
            let low = lasted.is_some_and(|v| v.iter().all(|v| *v < clears_below));
            match event {
                None => {}
                Some(AlertEvent::Raised) => {
                    prop_assert!(!raised && high, "raised at look {n} of {values:?}");
                    raised = true;
                }
                Some(AlertEvent::Cleared) => {
                    prop_assert!(raised && low, "cleared at look {n} of {values:?}");
                    raised = false;
                }
            }
            prop_assert!(!high || raised, "not raised at look {n} of {values:?}");
            prop_assert!(!low || !raised, "not cleared at look {n} of {values:?}");
        }
    }
}
