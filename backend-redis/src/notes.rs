//! Notes.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::keys::{Raw, add_id};
use crate::queue::Queue;
use crate::record::instant;
use crate::reply;
use crate::script::{NOTES, SAVE};
use bytes::Bytes;
use jiff::Timestamp;
use job_core::{BackendError, Hold, LeaseStatus, Note, NoteEdit, Notes};
use redis::Value;

impl Inner {
    pub(crate) async fn save(
        &self,
        queue: &Queue,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        let Some((shard, place)) = queue.place_of(hold) else { return Ok(LeaseStatus::Stale) };
        let mut call = SAVE.call(&shard.tag, &[shard.tag.lease(hold.lease)]);
        call.cmd.arg(place);
        add_id(&mut call.cmd, hold.job.as_uuid());
        for edit in edits {
            call.cmd.arg(&edit.name).arg(u8::from(edit.value.is_some()));
            call.cmd.arg(Raw(edit.value.as_deref().unwrap_or_default()));
        }
        let saved = reply::int(&self.link.run(call).await?).ok_or_else(|| unreadable("save"))?;
        Ok(if saved == 1 { LeaseStatus::Held } else { LeaseStatus::Stale })
    }

    pub(crate) async fn notes(&self, queue: &Queue, hold: &Hold) -> Result<Notes, BackendError> {
        let Some((shard, _)) = queue.place_of(hold) else {
            return Ok(Notes { now: Timestamp::now(), notes: Vec::new() });
        };
        let mut call = NOTES.call(&shard.tag, &[]);
        add_id(&mut call.cmd, hold.job.as_uuid());
        let answer = self.link.run(call).await?;
        let read = || {
            let [now, notes] = <[Value; 2]>::try_from(reply::array(answer)?).ok()?;
            let notes = kept_notes(Bytes::from(reply::bytes(notes)?));
            Some(Notes { now: instant(reply::int(&now)?), notes })
        };
        read().ok_or_else(|| unreadable("notes"))
    }
}

/// Notes as `save.lua` keeps them, as far as they can be read; by name.
pub(crate) fn kept_notes(mut bytes: Bytes) -> Vec<Note> {
    let mut notes = Vec::new();
    while let Some(head) = bytes.first_chunk::<14>() {
        let [a, b, at @ .., e, f, g, h] = *head;
        let name = usize::from(u16::from_be_bytes([a, b]));
        let size = usize::try_from(u32::from_be_bytes([e, f, g, h])).unwrap_or(usize::MAX);
        let Some(end) = size.checked_add(14 + name).filter(|end| *end <= bytes.len()) else { break };
        let note = bytes.split_to(end);
        notes.push(Note {
            name: String::from_utf8_lossy(&note[14..14 + name]).into_owned(),
            value: note.slice(14 + name..),
            at: instant(i64::from_be_bytes(at)),
        });
    }
    notes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    notes
}
