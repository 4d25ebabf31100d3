//! What an operator changes in a dead job before it is replayed.

use crate::effect::{EffectResolution, resolution_edit};
use crate::note::NoteEdit;
use bytes::Bytes;

/// A change to a dead job: everything in it is done, or nothing.
///
/// ```
/// use job_core::{Amendment, EffectResolution};
///
/// // The provider's list shows the mail, so a replay goes on behind it with this result.
/// let receipt = serde_json::json!("re_42");
/// let amendment = Amendment::new()
///     .payload(r#"{"invoice_id":42}"#)
///     .resolve_effect("mail", EffectResolution::Done(receipt));
/// assert_eq!(amendment.notes[0].name, "effect/mail");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Amendment {
    /// Other arguments, as they are to be stored, in the version that the job has; `None` leaves them.
    pub payload: Option<Bytes>,
    /// Notes to write or to take away. Of two edits of one note the last counts.
    pub notes: Vec<NoteEdit>,
}

impl Amendment {
    /// Changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With these arguments in place of the stored ones. The version of the arguments stays that of the job.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// With this change to the notes.
    #[must_use]
    pub fn note(mut self, edit: NoteEdit) -> Self {
        self.notes.push(edit);
        self
    }

    /// Says what has become of an effect in doubt: the name is the one that the handler gave to
    /// [`effect`](crate::JobContext::effect). A replay then goes on with what is said here, so look at the other side
    /// first.
    #[must_use]
    pub fn resolve_effect(self, name: &str, resolution: EffectResolution) -> Self {
        self.note(resolution_edit(name, resolution))
    }
}
