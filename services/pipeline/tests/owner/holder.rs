//! A relay in front of the engine that holds one write back, as a frozen process would.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone)]
pub struct Holder {
    pub url: String,
    table: &'static str,
    armed: Arc<AtomicBool>,
    /// True while a write is held.
    pub held: Arc<watch::Sender<bool>>,
}

impl Holder {
    /// In front of `engine`; holds inserts into `table` once it is armed.
    pub async fn start(engine: String, table: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let holder = Self { url, table, armed: Arc::default(), held: Arc::new(watch::Sender::new(false)) };
        let shared = holder.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(shared.clone().relay(client, engine.clone()));
            }
        });
        holder
    }

    /// The next insert is held.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub fn release(&self) {
        self.held.send_replace(false);
    }

    fn is_meant(&self, request: &[u8]) -> bool {
        let text = String::from_utf8_lossy(request);
        request.starts_with(b"POST ") && text.contains("INSERT") && text.contains(self.table)
    }

    async fn relay(self, mut client: TcpStream, engine: String) {
        let Ok(mut server) = TcpStream::connect(engine).await else { return };
        let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
        loop {
            tokio::select! {
                read = client.read(&mut up) => {
                    let Ok(read @ 1..) = read else { return };
                    if self.is_meant(&up[..read]) && self.armed.swap(false, Ordering::SeqCst) {
                        self.held.send_replace(true);
                        let _ = self.held.subscribe().wait_for(|held| !*held).await;
                    }
                    if server.write_all(&up[..read]).await.is_err() { return; }
                }
                read = server.read(&mut down) => {
                    let Ok(read @ 1..) = read else { return };
                    if client.write_all(&down[..read]).await.is_err() { return; }
                }
            }
        }
    }
}
