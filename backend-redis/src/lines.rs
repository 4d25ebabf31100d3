//! Lines: jobs of one kind that wait one behind the other. They are all in the first shard of their queue, like keys: how many
//! shards there are may change, and a line must not.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::keys::Raw;
use crate::reply;
use crate::script::{LIST_LINES, WEIGH};
use job_core::{BackendError, Headers, Kind, LineRecord, NewJob, QueueName};
use redis::Value;

/// Lines that one call looks at: a server does nothing else meanwhile.
const PAGE: u32 = 200;

/// The name of a line as scripts know it: none begins another one, and they stand in order of kind and key.
fn name(kind: &Kind, key: &str) -> Vec<u8> {
    let mut name = kind.as_str().as_bytes().to_vec();
    name.push(0);
    for byte in key.bytes() {
        name.push(byte);
        if byte == 0 {
            name.push(u8::MAX);
        }
    }
    name.push(0);
    name
}

fn read_name(name: &[u8]) -> Option<(Kind, String)> {
    let (_, name) = name.split_last()?;
    let end = name.iter().position(|b| *b == 0)?;
    let kind = Kind::new(std::str::from_utf8(&name[..end]).ok()?).ok()?;
    let mut key = Vec::new();
    let mut bytes = name[end + 1..].iter();
    while let Some(byte) = bytes.next() {
        key.push(*byte);
        if *byte == 0 {
            bytes.next()?;
        }
    }
    Some((kind, String::from_utf8(key).ok()?))
}

/// The line of a job; empty if it has none.
pub(crate) fn line_of(job: &NewJob) -> Vec<u8> {
    line_in(&job.kind, &job.headers)
}

/// The same of a stored job.
pub(crate) fn line_in(kind: &Kind, headers: &Headers) -> Vec<u8> {
    headers.get(NewJob::LINE_HEADER).map(|key| name(kind, key)).unwrap_or_default()
}

impl Inner {
    pub(crate) async fn set_weight(
        &self,
        queue: &QueueName,
        kind: &Kind,
        key: &str,
        weight: u32,
    ) -> Result<(), BackendError> {
        let queue = self.queue(queue).await?;
        let mut call = WEIGH.call(&queue.shards[0].tag, &[]);
        call.cmd.arg(Raw(&name(kind, key))).arg(weight.clamp(1, 1_000));
        self.link.run(call).await?;
        Ok(())
    }

    pub(crate) async fn lines(
        &self,
        queue: &QueueName,
        after: Option<(&Kind, &str)>,
        limit: u32,
    ) -> Result<Vec<LineRecord>, BackendError> {
        let queue = self.queue(queue).await?;
        let mut after = after.map(|(kind, key)| name(kind, key)).unwrap_or_default();
        let mut lines = Vec::new();
        let mut left = limit;
        while left > 0 {
            let page = left.min(PAGE);
            let mut call = LIST_LINES.call(&queue.shards[0].tag, &[]);
            call.cmd.arg(Raw(&after)).arg(page);
            let rows = reply::array(self.link.run(call).await?).ok_or_else(|| unreadable("lines"))?;
            let last = rows.len() < page as usize;
            for row in rows {
                let (name, line) = read_line(row).ok_or_else(|| unreadable("lines"))?;
                lines.push(line);
                after = name;
            }
            if last {
                break;
            }
            left -= page;
        }
        Ok(lines)
    }
}

fn read_line(row: Value) -> Option<(Vec<u8>, LineRecord)> {
    let [name, waiting, out, weight] = <[Value; 4]>::try_from(reply::array(row)?).ok()?;
    let name = reply::bytes(name)?;
    let (kind, key) = read_name(&name)?;
    let small = |value| u32::try_from(reply::count(&value)?).ok();
    let waiting = reply::count(&waiting)?;
    Some((name, LineRecord { kind, key, waiting, out: small(out)?, weight: small(weight)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_none_begins_another() {
        let kind = Kind::from_static("k");
        let mut keys = ["", "a", "a\0", "a\0b", "a\0\0", "ab", "b", "\u{1}", "\0"];
        keys.sort_unstable();
        let names: Vec<_> = keys.iter().map(|key| name(&kind, key)).collect();
        for (key, name) in keys.iter().zip(&names) {
            assert_eq!(read_name(name), Some((kind.clone(), (*key).to_owned())));
            // What stands behind a name begins with a zero byte.
            let inside =
                |other: &&Vec<u8>| other.starts_with(name) && other.get(name.len()).is_none_or(|b| *b == 0);
            assert_eq!(names.iter().filter(inside).count(), 1, "{key:?}");
        }
        assert!(names.is_sorted());
    }
}
