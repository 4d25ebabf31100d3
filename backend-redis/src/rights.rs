//! What the user of the URL may do: asked when a backend connects, so that no call stops half-way for want of a right.

use crate::error::{refused, unreadable};
use crate::keys::Tag;
use crate::link::Link;
use crate::options::Options;
use crate::reply;
use crate::script::PROBE;
use job_core::{BackendError, ErrorKind, QueueName};
use redis::Value;
use std::sync::Arc;

const OPERATION: &str = "connect";

/// Refuses a user who may not do what the scripts do, and a server that cannot wait as the URL asks it to.
pub(crate) async fn check(link: &Arc<Link>, options: &Options, channel: &str) -> Result<(), BackendError> {
    let tag = Tag::new(&options.prefix, &QueueName::from_static("probe"), 0);
    let mut call = PROBE.call(&tag, &[format!("{}probe", tag.text())]);
    call.cmd.arg(if options.listen { channel } else { "" });
    // Both ways of running a script, and the one key that is not a script's.
    link.command(OPERATION, call.with_text()).await?;
    let mut names = redis::cmd("SMEMBERS");
    names.arg(format!("{}:queues", options.prefix));
    link.command(OPERATION, names).await?;
    let answer = link.run(call).await?;
    let read = || -> Option<[String; 2]> {
        let [denied, said] = <[Value; 2]>::try_from(reply::array(answer)?).ok()?;
        Some([reply::text(denied)?, reply::text(said)?])
    };
    let [denied, said] = read().ok_or_else(|| unreadable(OPERATION))?;
    if !denied.is_empty() {
        let text = format!(
            "the user of this server lacks rights: {said} ({denied}). The documentation of backend-redis has the ACL that is \
             needed"
        );
        return Err(refused(OPERATION, ErrorKind::Permanent, text));
    }
    let Some(wait) = options.wait else { return Ok(()) };
    // For nobody: it is done at once, or not understood.
    let nobody = link.each_master(OPERATION, wait.command_for(0)).await;
    nobody.map(drop).map_err(|error| {
        if error.is_transient() {
            return error;
        }
        let text = format!("this server cannot wait as the URL asks: {error}");
        refused(OPERATION, ErrorKind::Permanent, text)
    })
}
