//! The job: render one invoice to a file and mail it.

use crate::invoice::Invoice;
use crate::store::Store;
use lettre::message::{Mailbox, Message, header::ContentType};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use std::path::{Path, PathBuf};
use std::{fs, io};
use steadfast::{JobContext, JobResult, ResultExt as _, State, job};
use tokio::io::AsyncWriteExt as _;

/// Renders and mails one invoice. Both may happen twice, so both are made to bear it: the file is replaced by the same
/// file, and the mail carries the same id.
#[job(
    retries = 5,
    queue = "email",
    idempotency = "number",
    timeout = "30s",
    backoff(base = "500ms", max = "10s")
)]
pub(crate) async fn send_invoice(
    number: String,
    State(store): State<Store>,
    State(folder): State<Folder>,
    State(post): State<Post>,
    ctx: JobContext,
) -> JobResult {
    let invoice = store.get(&number).await?;
    let invoice = invoice.ok_or_else(|| format!("there is no invoice {number}")).permanent()?;
    folder.render(&invoice, ctx.fencing_token().claims).await?;
    post.send(&invoice, ctx.idempotency_key()).await?;
    Ok(())
}

/// Where the letters go.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if it is new, and clears it of what a killed process was writing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let half_written = path.join("tmp");
        fs::create_dir_all(&half_written)?;
        for entry in fs::read_dir(half_written)? {
            // Another process may be doing the same, or writing this file: then its attempt fails and is repeated.
            let _ = fs::remove_file(entry?.path());
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Where the mail server writes what it took.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("mails.log")
    }

    /// The letter appears whole or not at all, and is on the disk before the job goes on. Two attempts that overlap
    /// (one of them lost its lease) write different temporary files.
    async fn render(&self, invoice: &Invoice, claims: u64) -> io::Result<()> {
        let half_written = self.path.join("tmp").join(format!("{}.{claims}", invoice.number));
        let mut file = tokio::fs::File::create(&half_written).await?;
        file.write_all(invoice.text().as_bytes()).await?;
        file.sync_all().await?;
        tokio::fs::rename(half_written, self.file(&invoice.number)).await
    }

    fn file(&self, number: &str) -> PathBuf {
        self.path.join(format!("{number}.txt"))
    }

    /// Whether the letter of this invoice is there.
    pub(crate) fn has(&self, number: &str) -> bool {
        self.file(number).exists()
    }

    /// How many letters there are.
    pub(crate) fn count(&self) -> io::Result<usize> {
        let names =
            fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        Ok(names.iter().filter(|name| Path::new(name).extension().is_some_and(|e| e == "txt")).count())
    }
}

/// The way to the mail server.
#[derive(Debug)]
pub(crate) struct Post {
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Post {
    /// Through the server on this port of this machine.
    pub(crate) fn through(port: u16) -> Self {
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1").port(port).build();
        Self { transport }
    }

    /// A mail server cannot know that it got the same message twice unless it is told: the key is in the Message-ID.
    async fn send(&self, invoice: &Invoice, key: &str) -> JobResult {
        let to = Mailbox::new(Some(invoice.customer.clone()), invoice.email.parse().permanent()?);
        let message = Message::builder()
            .message_id(Some(message_id(key)))
            .from("Invoices <invoices@example.com>".parse().permanent()?)
            .to(to)
            .subject(format!("Invoice {}", invoice.number))
            .header(ContentType::TEXT_PLAIN)
            .body(invoice.text())
            .permanent()?;
        self.transport.send(message).await?;
        Ok(())
    }
}

/// `send_invoice:INV-0001` as the id of a message.
fn message_id(key: &str) -> String {
    format!("<{}@invoices.example.com>", key.replace(':', "."))
}

/// The id of the mail of this invoice.
pub(crate) fn mail_of(number: &str) -> String {
    message_id(&format!("send_invoice:{number}"))
}
