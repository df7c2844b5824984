//! Time limits of a connection that is waiting for its client: first byte, head of a request, idle time.
//!
//! hyper's own head timer counts idle time too and does not run before the protocol is known, so both limits are kept
//! here, below it. While a request is worked on nothing is limited here: bodies have a limit of their own.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// Requests of one connection that are being worked on.
#[derive(Clone, Default)]
pub(super) struct Active(Arc<AtomicUsize>);

/// One request being worked on.
pub(super) struct Working(Arc<AtomicUsize>);

impl Active {
    pub fn begin(&self) -> Working {
        self.0.fetch_add(1, Ordering::Relaxed);
        Working(self.0.clone())
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Time limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub head: Duration,
    pub idle: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Head,
    Busy,
    Idle,
    /// HTTP/2 multiplexes, so a head cannot be told from a ping here: only a request counts as life, not bytes. Up to the
    /// first one the limit is that of a head, after the last one that of an idle connection.
    Http2,
}

/// A stream that ends when its client keeps it waiting.
///
/// The timer is not moved with the deadline, which changes twice a request: it fires at least once per shortest limit
/// and looks at the deadline then.
pub(super) struct Guard<S> {
    stream: S,
    active: Active,
    times: Times,
    phase: Phase,
    http2: bool,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S> Guard<S> {
    pub fn new(stream: S, active: Active, times: Times) -> Self {
        let deadline = Instant::now() + times.head;
        let timer = Box::pin(tokio::time::sleep(times.head.min(times.idle)));
        Self { stream, active, times, phase: Phase::New, http2: false, deadline, timer }
    }

    fn enter(&mut self, phase: Phase, time: Duration) {
        self.phase = phase;
        self.deadline = Instant::now() + time;
    }

    /// Whether the client has kept us waiting for too long; else the timer wakes the task in time.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= self.deadline {
                return true;
            }
            // No limit set from now on is shorter, so the timer is never later than a deadline.
            let next = self.deadline.min(now + self.times.head.min(self.times.idle));
            self.timer.as_mut().reset(next);
        }
        false
    }

    fn read(&mut self, bytes: &[u8]) {
        match self.phase {
            Phase::New if bytes.starts_with(b"PRI * HTTP/2") => {
                self.http2 = true;
                self.enter(Phase::Http2, self.times.head);
            }
            Phase::New | Phase::Idle => self.enter(Phase::Head, self.times.head),
            Phase::Head | Phase::Busy | Phase::Http2 => {}
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let active = self.active.any();
        if active {
            self.phase = Phase::Busy;
        } else if self.phase == Phase::Busy {
            let (idle, after) = (self.times.idle, if self.http2 { Phase::Http2 } else { Phase::Idle });
            self.enter(after, idle);
        }
        let before = buf.filled().len();
        if let Poll::Ready(done) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            self.read(&buf.filled()[before..]);
            return Poll::Ready(done);
        }
        if !active && self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
