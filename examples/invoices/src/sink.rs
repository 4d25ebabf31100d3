//! A mail server that keeps nothing but the ids of the messages it took.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Where a sink listens, and what it has taken.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) port: u16,
    /// How many messages are in the log, also those of earlier runs.
    pub(crate) taken: watch::Receiver<usize>,
}

struct Log {
    file: std::fs::File,
    taken: watch::Sender<usize>,
}

/// Starts a sink on a free port of this machine. It appends to the log what it takes.
pub(crate) async fn start(log: &Path) -> io::Result<Sink> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let before = std::fs::read_to_string(log)?.lines().count();
    let (sender, taken) = watch::channel(before);
    let log = Arc::new(Log { file, taken: sender });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        // Only a broken socket of the listener itself ends it.
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(session(stream, Arc::clone(&log)));
        }
    });
    Ok(Sink { port, taken })
}

impl Log {
    fn append(&self, id: &str) -> io::Result<()> {
        // One write at the end of the file: a killed process leaves the line or nothing.
        (&self.file).write_all(format!("{id}\n").as_bytes())?;
        self.taken.send_modify(|count| *count += 1);
        Ok(())
    }
}

async fn session(stream: TcpStream, log: Arc<Log>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 sink\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" | "HELO" => "250 sink",
            "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 ok",
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                match message_id(&mut lines).await? {
                    // The answer comes after the write: what it says is so.
                    Some(id) => match log.append(&id) {
                        Ok(()) => "250 taken",
                        Err(_) => "451 the log cannot be written",
                    },
                    None => "554 no Message-ID",
                }
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await?;
                break;
            }
            _ => "502 unknown",
        };
        write.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
    Ok(())
}

/// Reads a message to its end. An error if the connection ends before: then it was not taken.
async fn message_id(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> io::Result<Option<String>> {
    let (mut id, mut in_header) = (None, true);
    loop {
        let line = lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        match line.as_str() {
            "." => return Ok(id),
            "" => in_header = false,
            header if in_header => {
                if let Some((name, value)) = header.split_once(':')
                    && name.eq_ignore_ascii_case("message-id")
                {
                    id = Some(value.trim().to_owned());
                }
            }
            _ => {}
        }
    }
}
