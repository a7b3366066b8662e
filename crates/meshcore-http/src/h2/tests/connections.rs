//! Real connections of the `h2` crate over [`DeferredIo`], in memory.
#![expect(clippy::arithmetic_side_effects, reason = "sums of test data are small")]

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use super::super::{DeferredIo, accept, drive_client};

/// Counts the writes that reach the wire.
struct Counted<I> {
    io: I,
    writes: Rc<Cell<usize>>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counted<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.set(self.writes.get() + 1);
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Counts the bytes that are read from the wire.
struct Measured<I> {
    io: I,
    read: Rc<Cell<usize>>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Measured<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.read.set(self.read.get() + buf.filled().len() - before);
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Measured<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn run(test: impl Future<Output = ()> + 'static) {
    let runtime: LocalRuntime =
        Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(test);
}

/// Answers each request with its own body.
async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + 'static) {
    let (io, drain) = DeferredIo::new(io);
    let mut connection = ::h2::server::handshake(io).await.unwrap();
    while let Some(accepted) = accept(&mut connection, &drain).await {
        let Ok((request, mut answer)) = accepted else { return };
        tokio::task::spawn_local(async move {
            let mut body = request.into_body();
            let mut out = answer.send_response(http::Response::new(()), false).unwrap();
            while let Some(chunk) = body.data().await {
                let chunk = chunk.unwrap();
                body.flow_control().release_capacity(chunk.len()).unwrap();
                out.send_data(chunk, false).unwrap();
            }
            out.send_data(Bytes::new(), true).unwrap();
        });
    }
}

async fn ask(sender: ::h2::client::SendRequest<Bytes>, body: Bytes) -> usize {
    let request = http::Request::post("http://a/").body(()).unwrap();
    let mut sender = sender.ready().await.unwrap();
    let (response, mut out) = sender.send_request(request, false).unwrap();
    let mut left = body;
    while !left.is_empty() {
        out.reserve_capacity(left.len());
        let room = poll_fn(|cx| out.poll_capacity(cx)).await.unwrap().unwrap();
        out.send_data(left.split_to(room.min(left.len())), false).unwrap();
    }
    out.send_data(Bytes::new(), true).unwrap();
    let mut answer = response.await.unwrap().into_body();
    let mut received = 0;
    while let Some(chunk) = answer.data().await {
        let chunk = chunk.unwrap();
        received += chunk.len();
        answer.flow_control().release_capacity(chunk.len()).unwrap();
    }
    received
}

#[test]
fn many_requests_share_few_writes() {
    run(async {
        let (client, server) = duplex(1 << 20);
        let writes = Rc::new(Cell::new(0));
        tokio::task::spawn_local(serve(Counted { io: server, writes: Rc::clone(&writes) }));
        let (io, drain) = DeferredIo::new(client);
        let (sender, connection) = ::h2::client::handshake(io).await.unwrap();
        tokio::task::spawn_local(drive_client(connection, drain));
        assert_eq!(ask(sender.clone(), Bytes::from_static(b"warm")).await, 4);
        let before = writes.get();
        let asked: Vec<_> = (0..32)
            .map(|_| tokio::task::spawn_local(ask(sender.clone(), Bytes::from_static(b"hello"))))
            .collect();
        for asked in asked {
            assert_eq!(asked.await.unwrap(), 5);
        }
        let spent = writes.get() - before;
        assert!(spent <= 8, "{spent} writes for 32 answers of three frames each");
    });
}

#[test]
fn a_turn_reads_a_bounded_part_of_a_flood() {
    run(async {
        let (mut client, server) = duplex(8 << 20);
        let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        flood.extend(std::iter::repeat_n(*b"\0\0\0\x42\0\0\0\0\0", 500_000).flatten());
        client.write_all(&flood).await.unwrap();
        let read = Rc::new(Cell::new(0));
        let (io, drain) = DeferredIo::new(Measured { io: server, read: Rc::clone(&read) });
        let mut connection = ::h2::server::handshake(io).await.unwrap();
        let most = poll_fn(|cx| {
            let before = read.get();
            let accepted = pin!(accept(&mut connection, &drain)).poll(cx);
            assert!(accepted.is_pending(), "no request is among them");
            Poll::Ready(read.get() - before)
        })
        .await;
        assert!(most > 0 && most <= 32 * 1024, "{most} bytes in a turn");
        drop(client);
        while accept(&mut connection, &drain).await.is_some() {}
        assert_eq!(read.get(), flood.len(), "all of it is read in the end");
    });
}

#[test]
fn large_bodies_pass_a_narrow_pipe() {
    run(async {
        let (client, server) = duplex(1000); // every drain has to wait
        tokio::task::spawn_local(serve(server));
        let (io, drain) = DeferredIo::new(client);
        let (sender, connection) = ::h2::client::handshake(io).await.unwrap();
        let driver = tokio::task::spawn_local(drive_client(connection, drain));
        assert_eq!(ask(sender.clone(), Bytes::from(vec![7; 500_000])).await, 500_000);
        drop(sender);
        driver.await.unwrap().unwrap();
    });
}

#[test]
fn a_failed_write_ends_the_connection() {
    run(async {
        let (client, mut server) = duplex(64);
        let (io, drain) = DeferredIo::new(client);
        let (sender, connection) = ::h2::client::handshake(io).await.unwrap();
        let driver = tokio::task::spawn_local(drive_client(connection, drain));
        server.shutdown().await.unwrap();
        drop(server);
        let error = driver.await.unwrap().unwrap_err();
        assert!(error.is_io(), "{error}");
        drop(sender);
    });
}

#[test]
fn nothing_is_written_before_the_drain_and_idle_holds_no_memory() {
    run(async {
        let (client, mut server) = duplex(1 << 20);
        let (mut io, drain) = DeferredIo::new(client);
        io.write_all(b"hello ").await.unwrap();
        let parts = [io::IoSlice::new(b"wor"), io::IoSlice::new(b"ld")];
        assert_eq!(io.write_vectored(&parts).await.unwrap(), 5);
        io.flush().await.unwrap();
        assert_eq!(drain.held_bytes(), 11);
        poll_fn(|cx| drain.poll_drain(cx)).await.unwrap();
        assert_eq!(drain.held_bytes(), 0);
        let mut seen = [0; 11];
        server.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"hello world");
        io.write_all(&vec![1; 200_000]).await.unwrap();
        assert!(drain.held_bytes() <= 64 * 1024, "{} bytes are held", drain.held_bytes());
        io.shutdown().await.unwrap();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), 200_000);
    });
}

#[test]
fn a_peer_that_does_not_read_makes_writes_wait() {
    run(async {
        let (client, server) = duplex(16);
        let (mut io, drain) = DeferredIo::new(client);
        let mut taken = 0;
        poll_fn(|cx| {
            while let Poll::Ready(written) = Pin::new(&mut io).poll_write(cx, &[0; 4096]) {
                taken += written.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        assert!(taken <= 64 * 1024 + 16, "{taken} bytes were taken");
        assert!(drain.held_bytes() > 60_000);
        drop(server);
        assert!(poll_fn(|cx| drain.poll_drain(cx)).await.is_err());
        assert!(io.write_all(b"more").await.is_err(), "the failure is kept");
        assert!(io.read_u8().await.is_err(), "and ends reads");
    });
}
