//! Looks through lines: whether they know who waits in them and who is out.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::fsck::FsckReport;
use crate::keys::{Part, Raw};
use crate::queue::Shard;
use crate::reply;
use crate::script::FSCK_LINES;
use job_core::BackendError;
use std::collections::{HashMap, HashSet};

/// Lines that one call looks at: a server does nothing else meanwhile.
const PAGE: usize = 100;

/// An entry of a hash or a sorted set.
type Entry = (Vec<u8>, Vec<u8>);

impl Inner {
    pub(crate) async fn fsck_lines(
        &self,
        shard: &Shard,
        repair: bool,
        report: &mut FsckReport,
    ) -> Result<(), BackendError> {
        for (part, what) in [(Part::InLine, "waiting"), (Part::Turns, "turns")] {
            let entries = self.all_of("ZSCAN", shard, part).await?;
            for page in entries.chunks(PAGE) {
                let items = page.iter().map(|(member, _)| member.clone());
                report.lines += self.fsck_page(shard, repair, what, items).await?;
            }
        }
        // In this order: what has not changed when all is counted was the same while it was counted.
        let lines = self.all_of("HSCAN", shard, Part::Lines).await?;
        if lines.is_empty() {
            return Ok(());
        }
        let mut out: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut seen = HashSet::new();
        for (id, text) in self.all_of("HSCAN", shard, Part::LineOf).await? {
            if let [b'o', name @ ..] = text.as_slice()
                && seen.insert(id)
            {
                *out.entry(name.to_vec()).or_default() += 1;
            }
        }
        for page in lines.chunks(PAGE) {
            let items = page.iter().flat_map(|(name, state)| {
                let out = out.get(name).copied().unwrap_or(0);
                [name.clone(), state.clone(), out.to_string().into_bytes()]
            });
            report.lines += self.fsck_page(shard, repair, "states", items).await?;
        }
        Ok(())
    }

    async fn fsck_page(
        &self,
        shard: &Shard,
        repair: bool,
        what: &str,
        items: impl Iterator<Item = Vec<u8>>,
    ) -> Result<u64, BackendError> {
        let mut call = FSCK_LINES.call(&shard.tag, &shard.lanes());
        call.cmd.arg(u8::from(repair)).arg(what);
        for item in items {
            call.cmd.arg(Raw(&item));
        }
        reply::count(&self.link.run(call).await?).ok_or_else(|| unreadable("fsck"))
    }

    async fn all_of(&self, command: &str, shard: &Shard, part: Part) -> Result<Vec<Entry>, BackendError> {
        let (mut all, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let (next, entries) = self.scan(command, shard.tag.key(part), &cursor).await?;
            all.extend(entries);
            if next == "0" {
                return Ok(all);
            }
            cursor = next;
        }
    }
}
