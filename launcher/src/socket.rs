//! The launcher's side of the protocol.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, read, write};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde::Serialize;

use crate::protocol::{MESSAGE_BYTES_MAX, Order, REQUEST_BYTES_MAX, Request};

/// Standard input, output and errors of a program.
pub(crate) type Stdio = [OwnedFd; 3];

/// The descriptors that come with a request.
pub(crate) struct Passed {
    pub(crate) stdio: Stdio,
    pub(crate) channel: Option<OwnedFd>,
}

/// The most descriptors that come with a request.
const PASSED_MAX: usize = 4;

/// Waits for the request. `None`: the engine closed the socket instead.
pub(crate) fn receive_request(control: BorrowedFd<'_>) -> io::Result<Option<(Request, Passed)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = vec![0; 64 << 10];
    let received = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        retry(|| recvmsg(control, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("descriptors were lost"));
    }
    let mut passed = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            passed.extend(descriptors);
        }
    }
    let mut line = buffer[..received.bytes].to_vec();
    while line.last() != Some(&b'\n') {
        let count = retry(|| read(control, &mut buffer[..]))?;
        if count == 0 || line.len() + count > REQUEST_BYTES_MAX {
            return Err(io::Error::other("the request is incomplete or too long"));
        }
        line.extend_from_slice(&buffer[..count]);
    }
    let channel = if passed.len() == PASSED_MAX { passed.pop() } else { None };
    let stdio = passed.try_into().map_err(|_| io::Error::other("it takes three descriptors"))?;
    Ok(Some((serde_json::from_slice(&line)?, Passed { stdio, channel })))
}

/// Sends a message.
pub(crate) fn send(control: BorrowedFd<'_>, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut left = line.as_slice();
    while !left.is_empty() {
        let written = retry(|| write(control, left))?;
        left = &left[written..];
    }
    Ok(())
}

/// Bytes received after the request, up to an incomplete order.
#[derive(Default)]
pub(crate) struct Inbox(Vec<u8>);

impl Inbox {
    /// Reads once. `None`: the engine closed the socket, or sent an unknown message.
    pub(crate) fn read(&mut self, control: BorrowedFd<'_>) -> io::Result<Option<Vec<Order>>> {
        let mut buffer = [0; 1024];
        let count = match retry(|| read(control, &mut buffer)) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(error),
        };
        self.0.extend_from_slice(&buffer[..count]);
        if count == 0 || self.0.len() > MESSAGE_BYTES_MAX {
            return Ok(None);
        }
        let mut orders = Vec::new();
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(order) => orders.push(order),
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(orders))
    }
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return Ok(done?),
        }
    }
}
