//! A socket with a write timeout, which closes connections whose peers stop reading.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::connection_limit::OpenConnection;

/// While a response is blocked, the peer must receive this many bytes in each period of
/// [`Limits::write`](super::Limits::write). A slower peer would hold memory and a connection for too long.
const BYTES_A_PERIOD_MIN: usize = 4 * 1024;

/// A socket that records its progress. A write that makes too little progress fails with
/// [`TimedOut`](io::ErrorKind::TimedOut).
pub(super) struct WriteTimeout {
    stream: TcpStream,
    connection: Arc<OpenConnection>,
    period: Duration,
    /// The current period; none while the peer receives everything at once.
    blocked: Option<Blocked>,
}

struct Blocked {
    until: Pin<Box<Sleep>>,
    /// The bytes written since the period began.
    taken: usize,
}

impl WriteTimeout {
    pub(super) fn new(
        stream: TcpStream,
        connection: Arc<OpenConnection>,
        period: Duration,
    ) -> WriteTimeout {
        WriteTimeout { stream, connection, period, blocked: None }
    }

    /// Polled while a write is blocked. Ready if the peer has received too little in a whole period.
    fn poll_period(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let period = self.period;
        let blocked = self.blocked.get_or_insert_with(|| Blocked {
            until: Box::pin(tokio::time::sleep(period)),
            taken: 0,
        });
        loop {
            ready!(blocked.until.as_mut().poll(context));
            if blocked.taken < BYTES_A_PERIOD_MIN {
                return Poll::Ready(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not read its answer",
                ));
            }
            *blocked = Blocked { until: Box::pin(tokio::time::sleep(period)), taken: 0 };
        }
    }

    /// Accounts for a write of `offered` bytes.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let taken = match written {
            Poll::Pending => return self.poll_period(context).map(Err),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(taken)) => taken,
        };
        self.connection.progressed();
        match &mut self.blocked {
            Some(blocked) if taken < offered => blocked.taken += taken,
            _ => self.blocked = None,
        }
        Poll::Ready(Ok(taken))
    }
}

impl AsyncRead for WriteTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.connection.progressed();
        }
        read
    }
}

impl AsyncWrite for WriteTimeout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = parts.iter().map(|part| part.len()).sum();
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(context, offered, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
