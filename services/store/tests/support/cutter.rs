//! A relay in front of the engine that cuts one request: before it arrives, or after it was done and before the answer.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Requests until the cut; negative = none.
#[derive(Clone)]
pub struct Cutter {
    pub url: String,
    left: Arc<AtomicI64>,
    answered: Arc<std::sync::atomic::AtomicBool>,
}

impl Cutter {
    pub async fn start(engine: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cutter = Self { url, left: Arc::new(AtomicI64::new(-1)), answered: Arc::default() };
        let shared = cutter.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(shared.clone().relay(client, engine.clone()));
            }
        });
        cutter
    }

    /// Cuts the request after `requests` more; `done` = after the engine has done it.
    pub fn cut_after(&self, requests: i64, done: bool) {
        self.answered.store(done, Ordering::SeqCst);
        self.left.store(requests, Ordering::SeqCst);
    }

    pub fn mend(&self) {
        self.left.store(-1, Ordering::SeqCst);
    }

    async fn relay(self, mut client: TcpStream, engine: String) {
        let Ok(mut server) = TcpStream::connect(engine).await else { return };
        let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
        let mut cut = false;
        loop {
            tokio::select! {
                read = client.read(&mut up) => {
                    let Ok(read @ 1..) = read else { return };
                    let begins = up.starts_with(b"POST ") || up.starts_with(b"GET ");
                    if begins && self.left.load(Ordering::SeqCst) >= 0 && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
                        if !self.answered.load(Ordering::SeqCst) {
                            return;
                        }
                        cut = true;
                    }
                    if server.write_all(&up[..read]).await.is_err() { return; }
                }
                read = server.read(&mut down) => {
                    let Ok(read @ 1..) = read else { return };
                    // The engine answers when it is done (`wait_end_of_query`).
                    if cut || client.write_all(&down[..read]).await.is_err() { return; }
                }
            }
        }
    }
}
