//! Notes.

use crate::backend::Inner;
use crate::error::unreadable;
use crate::keys::{Part, Raw, add_id};
use crate::queue::{Queue, Shard};
use crate::record::{before_payload, instant};
use crate::reply;
use crate::script::{AMEND, NOTES, SAVE};
use bytes::Bytes;
use jiff::Timestamp;
use job_core::{Amendment, BackendError, Hold, JobId, LeaseStatus, Note, NoteEdit, Notes};
use redis::{Cmd, Value};

impl Inner {
    pub(crate) async fn save(
        &self,
        queue: &Queue,
        hold: &Hold,
        edits: &[NoteEdit],
    ) -> Result<LeaseStatus, BackendError> {
        let Some((shard, place)) = queue.place_of(hold) else { return Ok(LeaseStatus::Stale) };
        let shard = &queue.shards[shard];
        let mut call = SAVE.call(&shard.tag, &[shard.tag.lease(hold.lease)]);
        call.cmd.arg(place);
        add_id(&mut call.cmd, hold.job.as_uuid());
        add_edits(&mut call.cmd, edits);
        let saved = reply::int(&self.link.run(call).await?).ok_or_else(|| unreadable("save"))?;
        Ok(if saved == 1 { LeaseStatus::Held } else { LeaseStatus::Stale })
    }

    /// Changes a dead job of this shard; false if it is not there, or not dead.
    pub(crate) async fn amend(
        &self,
        shard: &Shard,
        id: JobId,
        amendment: &Amendment,
    ) -> Result<bool, BackendError> {
        let mut cmd = redis::cmd("HGET");
        cmd.arg(shard.tag.key(Part::Jobs)).arg(Raw(id.as_uuid().as_bytes()));
        let stored = match self.link.command("amend", cmd).await? {
            Value::Nil => return Ok(false),
            stored => reply::bytes(stored).ok_or_else(|| unreadable("amend"))?,
        };
        // What stands before the payload never changes, so a script that finds it as it is here may replace what follows.
        let before = match &amendment.payload {
            Some(_) => before_payload(&stored).map_err(|_| unreadable("amend"))?,
            None => &[],
        };
        let mut call = AMEND.call(&shard.tag, &[]);
        add_id(&mut call.cmd, id.as_uuid());
        call.cmd.arg(Raw(before)).arg(Raw(amendment.payload.as_deref().unwrap_or_default()));
        add_edits(&mut call.cmd, &amendment.notes);
        Ok(reply::int(&self.link.run(call).await?).ok_or_else(|| unreadable("amend"))? == 1)
    }

    pub(crate) async fn notes(&self, queue: &Queue, hold: &Hold) -> Result<Notes, BackendError> {
        let Some((shard, _)) = queue.place_of(hold) else {
            return Ok(Notes { now: Timestamp::now(), notes: Vec::new() });
        };
        let mut call = NOTES.call(&queue.shards[shard].tag, &[]);
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

fn add_edits(cmd: &mut Cmd, edits: &[NoteEdit]) {
    for edit in edits {
        cmd.arg(&edit.name).arg(u8::from(edit.value.is_some()));
        cmd.arg(Raw(edit.value.as_deref().unwrap_or_default()));
    }
}

/// Notes as `lib/notes.lua` keeps them, as far as they can be read; by name.
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
