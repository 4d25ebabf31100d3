//! What alerts look at.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::queue::Shard;
use crate::reply;
use crate::script::GAUGES;
use job_core::{BackendError, Gauges, Kind, KindGauge};
use redis::Value;
use std::time::Duration;

impl Inner {
    /// Adds the numbers of one shard, which is a part of its queue.
    pub(crate) async fn add_gauges(&self, shard: &Shard, gauges: &mut Gauges) -> Result<(), BackendError> {
        self.learn_kinds(shard).await?;
        let answer = self.link.run(GAUGES.call(&shard.tag, &shard.lanes())).await?;
        add(answer, &shard.kinds(), gauges).ok_or_else(|| unreadable("gauges"))
    }
}

/// Adds the names in a field that one shard has.
pub(crate) fn add_kinds(kinds: &mut Vec<Kind>, names: Value) -> Option<()> {
    kinds.extend(reply::text(names)?.split_whitespace().filter_map(|name| Kind::new(name).ok()));
    kinds.sort_unstable();
    kinds.dedup();
    Some(())
}

fn add(answer: Value, kinds: &[Kind], gauges: &mut Gauges) -> Option<()> {
    let [dead, ready, paused, given, lanes, paused_kinds] =
        <[Value; 6]>::try_from(reply::array(answer)?).ok()?;
    let part = gauges.given.len();
    gauges.dead += reply::count(&dead)?;
    gauges.ready += reply::count(&ready)?;
    gauges.paused |= reply::int(&paused)? == 1;
    add_kinds(&mut gauges.paused_kinds, paused_kinds)?;
    gauges.given.push(reply::count(&given)?);
    for lane in reply::array(lanes)? {
        let [place, number, waits] = <[Value; 3]>::try_from(reply::array(lane)?).ok()?;
        let place = usize::try_from(reply::int(&place)?).ok()?;
        let kind = kinds.get(place.checked_sub(1)?)?.clone();
        let since_enqueued = Duration::from_millis(reply::count(&waits)?);
        gauges.kinds.push(KindGauge { kind, part, number: reply::count(&number)?, since_enqueued });
    }
    Some(())
}
