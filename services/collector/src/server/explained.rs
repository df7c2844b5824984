//! Answers that the HTTP library gives by itself, to a request whose head it cannot read: they have no body, and get the one that says
//! what is wrong. It offers no other place for that.

use crate::{http::problem::Problem, metrics::Metrics};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream on which an answer without a body is none of ours.
pub(super) struct Explained<S> {
    stream: S,
    metrics: Option<Arc<Metrics>>,
    instead: Option<Instead>,
}

/// What is written instead of an answer.
struct Instead {
    bytes: Vec<u8>,
    written: usize,
}

impl<S> Explained<S> {
    pub fn new(stream: S, metrics: Option<Arc<Metrics>>) -> Self {
        Self { stream, metrics, instead: None }
    }
}

/// Of a whole answer without a body: what is wrong.
fn refusal(answer: &[u8]) -> Option<Problem> {
    let status = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?.get(..3)?;
    let problem = Problem::of_head(status)?;
    let head = answer.strip_suffix(b"\r\n\r\n")?;
    head.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == b"content-length: 0").then_some(problem)
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Explained<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none() {
            let Some(problem) = refusal(buf) else { return Pin::new(&mut this.stream).poll_write(cx, buf) };
            if let Some(metrics) = &this.metrics {
                metrics.rejected(problem.reason);
            }
            this.instead = Some(Instead { bytes: problem.last_words(), written: 0 });
        }
        while let Some(instead) = this.instead.as_mut().filter(|instead| instead.written < instead.bytes.len()) {
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &instead.bytes[instead.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            instead.written += written;
        }
        this.instead = None;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// A refusal is one piece.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [one] => self.poll_write(cx, one),
            more => Pin::new(&mut self.stream).poll_write_vectored(cx, more),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Explained<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}
