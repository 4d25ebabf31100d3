//! The limits of a runtime: what was given, checked, and what the store is told of them.

use super::downstreams::Downstreams;
use super::queue::Queue;
use crate::job::JobSpec;
use crate::limits::{Declared, KindLimits, Limit, LimitName, LimitRule};
use crate::registry::Registration;
use crate::{Kind, QueueName};
use std::collections::{BTreeMap, HashMap};

/// The limits that have names of their own, and what is wrong with them and with those of queues.
pub(super) fn check<'a>(
    named: &[(String, Limit)],
    queues: &BTreeMap<QueueName, Queue>,
    specs: impl Iterator<Item = &'a JobSpec>,
) -> (BTreeMap<LimitName, LimitRule>, Vec<String>) {
    let mut limits = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, limit) in named {
        match (LimitName::new(name), limit.rule()) {
            (Err(error), _) => problems.push(error.to_string()),
            (_, Err(error)) => problems.push(format!("limit {name}: {error}")),
            (Ok(name), Ok(rule)) => {
                if limits.insert(name.clone(), rule).is_some() {
                    problems.push(format!("limit {name} is given twice"));
                }
            }
        }
    }
    for (queue, options) in queues {
        match options.limit.as_ref().map(Limit::rule) {
            Some(Err(error)) => problems.push(format!("the limit of queue {queue}: {error}")),
            Some(Ok(LimitRule { adaptive_min: Some(_), .. })) => problems.push(format!(
                "the limit of queue {queue} cannot adapt: give the runtime an adaptive .limit(..) with a name, and name \
                 it on the jobs that call what is behind it"
            )),
            _ => {}
        }
    }
    for spec in specs {
        for name in spec.limits.names.iter().filter(|name| !limits.contains_key(*name)) {
            let known = limits.keys().map(LimitName::as_str).collect::<Vec<_>>().join(", ");
            let known =
                if known.is_empty() { "there is none yet".to_owned() } else { format!("known: {known}") };
            problems.push(format!(
                "job {} is under the limit {name}, which the runtime does not have ({known}); add \
                 .limit({:?}, Limit::concurrency(..)) to the builder",
                spec.kind,
                name.as_str()
            ));
        }
    }
    (limits, problems)
}

/// What is watched behind limits, for limits that have been checked.
pub(super) fn downstreams(named: &[(String, Limit)], handlers: &HashMap<Kind, Registration>) -> Downstreams {
    let limits = named.iter().map(|(name, limit)| (name.as_str(), limit));
    Downstreams::new(limits, handlers.iter().map(|(kind, handler)| (kind, handler.spec())))
}

/// What the store is told about one queue, for limits that have been checked. What is not limited is said as well, so that what
/// an older deployment declared holds no longer.
pub(super) fn declared(
    queue: &QueueName,
    options: &Queue,
    limits: &BTreeMap<LimitName, LimitRule>,
    handlers: &HashMap<Kind, Registration>,
) -> Declared {
    let mut all: BTreeMap<LimitName, Option<LimitRule>> =
        limits.iter().map(|(name, rule)| (name.clone(), Some(*rule))).collect();
    let of_queue = options.limit.as_ref().and_then(|limit| limit.rule().ok());
    all.insert(LimitName::of_queue(queue), of_queue);
    let mut kinds = Vec::new();
    for (kind, handler) in handlers {
        let (spec, own) = (handler.spec(), LimitName::of_kind(kind));
        let mut names = spec.limits.names.clone();
        let rule = (spec.limits.all != LimitRule::default()).then_some(spec.limits.all);
        if *kind == spec.kind {
            all.insert(own, rule);
        } else {
            // Under an older name a job counts for the limit of its type.
            all.insert(own, None);
            names.extend(rule.is_some().then(|| LimitName::of_kind(&spec.kind)));
        }
        let (line, ordered) = (spec.limits.line, spec.limits.ordered);
        kinds.push(KindLimits { kind: kind.clone(), limits: names, line, ordered });
    }
    kinds.sort_by(|a, b| a.kind.cmp(&b.kind));
    Declared { limits: all.into_iter().collect(), kinds }
}
