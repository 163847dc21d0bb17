//! A cable between two nodes on one machine, for the demo: it carries connections until it is
//! pulled, that is, until this process ends.
//!
//! usage: cable LISTEN TARGET   (both as address:port; at most 64 connections at a time)

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const CONNECTIONS: usize = 64;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut address = || -> anyhow::Result<SocketAddr> {
        let given = args.next().ok_or_else(|| anyhow::anyhow!("usage: cable LISTEN TARGET"))?;
        given.parse().map_err(|_| anyhow::anyhow!("{given:?} is not an address and a port"))
    };
    let (listen, target) = (address()?, address()?);
    let listener = TcpListener::bind(listen).await?;
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await?;
        let (mut from, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A connection that breaks is the business of its two ends.
            if let Ok(mut to) = TcpStream::connect(target).await {
                _ = copy_bidirectional(&mut from, &mut to).await;
            }
            drop(permit);
        });
    }
}
