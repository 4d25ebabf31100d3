//! A TCP proxy that misbehaves: what a network does between a worker and its store.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// How the network behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// As it should.
    Fair,
    /// Connections are closed, new ones as soon as they are made.
    Refuse,
    /// Half-open: connections stay, nothing comes through in either direction. What was sent meanwhile arrives when the
    /// weather changes.
    Silent,
    /// Everything arrives this much later.
    Delay(Duration),
    /// This many bytes a second, in each direction of each connection.
    Throttle(u32),
    /// Each connection is cut after this many more bytes from the server: the request arrives, the answer does not.
    CutAnswer(usize),
    /// Each connection is cut after this many more bytes to the server, in the middle of a request.
    CutRequest(usize),
}

/// Passes connections on 127.0.0.1 to another port of it. Gone with this value.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// In front of this port.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(to: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (weather, seen) = watch::channel(Weather::Fair);
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, to));
        let task = tokio::spawn(accept(listener, to, seen));
        Ok(Self { port, weather, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the weather, for the connections that there are and for new ones.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An error here is of one connection, or passes.
                if let Ok((client, _)) = accepted {
                    connections.spawn(connect(client, to, weather.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(client: TcpStream, to: SocketAddr, weather: watch::Receiver<Weather>) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    // Without this a delay of ours would become a longer one.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // The end of either direction ends the connection.
    tokio::select! {
        () = pump(from_client, to_server, Way::Request, weather.clone()) => {}
        () = pump(from_server, to_client, Way::Answer, weather) => {}
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Answer,
}

/// Passes bytes on until one side ends, or the weather ends it.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut weather: watch::Receiver<Weather>,
) {
    let mut bytes = [0; 16 * 1024];
    // Since the weather last changed.
    let mut passed = 0;
    loop {
        let now = *weather.borrow_and_update();
        if now == Weather::Refuse {
            return;
        }
        let read = tokio::select! {
            biased;
            changed = weather.changed() => {
                if changed.is_err() {
                    return;
                }
                passed = 0;
                continue;
            }
            read = from.read(&mut bytes), if now != Weather::Silent => read,
        };
        let Ok(read @ 1..) = read else { return };
        let whole = match (now, way) {
            (Weather::CutAnswer(after), Way::Answer) | (Weather::CutRequest(after), Way::Request) => {
                read.min(after.saturating_sub(passed))
            }
            _ => read,
        };
        match now {
            Weather::Delay(time) => sleep(time).await,
            Weather::Throttle(rate) => sleep(Duration::from_secs(read as u64) / rate.max(1)).await,
            _ => {}
        }
        passed += whole;
        if to.write_all(&bytes[..whole]).await.is_err() || whole < read {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    /// A server that says everything back, and a connection to it through a proxy.
    async fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        let proxy = Proxy::start(port).await.expect("a port");
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.expect("connects");
        (proxy, stream)
    }

    /// What comes back until the end of the connection, or all of it.
    async fn say(stream: &mut TcpStream, what: &[u8]) -> Vec<u8> {
        stream.write_all(what).await.expect("sent");
        let mut answer = Vec::new();
        while answer.len() < what.len() {
            let mut bytes = [0; 64];
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(n) => answer.extend(&bytes[..n]),
            }
        }
        answer
    }

    #[tokio::test]
    async fn fair_weather_passes_everything() {
        let (_proxy, mut stream) = echo().await;
        assert_eq!(say(&mut stream, b"hello").await, b"hello");
    }

    #[tokio::test]
    async fn an_answer_is_cut_where_it_should_be() {
        let (proxy, mut stream) = echo().await;
        say(&mut stream, b"before").await;
        proxy.set(Weather::CutAnswer(4));
        assert_eq!(say(&mut stream, b"abcdefgh").await, b"abcd");
        proxy.set(Weather::Fair);
        let mut again = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.expect("connects");
        assert_eq!(say(&mut again, b"again").await, b"again");
    }

    #[tokio::test]
    async fn a_request_is_cut_where_it_should_be() {
        let (proxy, mut stream) = echo().await;
        proxy.set(Weather::CutRequest(0));
        assert_eq!(say(&mut stream, b"abcdefgh").await, b"");
    }

    #[tokio::test]
    async fn silence_holds_what_is_sent_and_then_lets_it_through() {
        let (proxy, mut stream) = echo().await;
        say(&mut stream, b"before").await;
        proxy.set(Weather::Silent);
        let silent = timeout(Duration::from_millis(200), say(&mut stream, b"late")).await;
        assert!(silent.is_err(), "nothing comes through");
        proxy.set(Weather::Fair);
        let mut late = [0; 4];
        stream.read_exact(&mut late).await.expect("it comes now");
        assert_eq!(&late, b"late");
    }

    #[tokio::test]
    async fn delays_and_throttles_take_their_time() {
        let (proxy, mut stream) = echo().await;
        proxy.set(Weather::Delay(Duration::from_millis(50)));
        let began = Instant::now();
        assert_eq!(say(&mut stream, b"x").await, b"x");
        assert!(began.elapsed() >= Duration::from_millis(100), "both ways: {:?}", began.elapsed());
        proxy.set(Weather::Throttle(1_000));
        let began = Instant::now();
        assert_eq!(say(&mut stream, &[7; 50]).await, [7; 50]);
        assert!(began.elapsed() >= Duration::from_millis(100), "both ways: {:?}", began.elapsed());
        proxy.set(Weather::Refuse);
        assert_eq!(say(&mut stream, b"gone").await, b"");
    }
}
