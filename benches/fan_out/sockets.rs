//! The two system calls that make thousands of viewers possible on either side: many datagrams received at once
//! (`recvmmsg`), and many sent at once (`sendmsg` with `UDP_SEGMENT`).

use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

const BATCH: usize = 32;
const WHOLE: usize = 2048;
/// STUN messages are shorter than this.
const BEGINNING: usize = 256;
/// For one time-stamp with its header.
const CONTROL: usize = 64;

/// Aligned as control messages have to be.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// Buffers to receive into, for all sockets.
pub(super) struct Inbox {
    bytes: Vec<u8>,
    controls: Vec<Control>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { bytes: vec![0; BATCH * WHOLE], controls: vec![Control([0; CONTROL]); BATCH] }
    }
}

impl Inbox {
    /// Every datagram that waits: all of it or, where `beginnings` will do, its first bytes; and, of a socket that is
    /// [`stamped`](stamp), when it arrived by the clock of 1970.
    pub(super) fn empty(
        &mut self,
        socket: &UdpSocket,
        beginnings: bool,
        mut each: impl FnMut(&[u8], Duration),
    ) {
        let length = if beginnings { BEGINNING } else { WHOLE };
        loop {
            let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|index| libc::iovec {
                iov_base: self.bytes[index * WHOLE..].as_mut_ptr().cast(),
                iov_len: length,
            });
            // SAFETY: all zeros are a valid header.
            let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
            for ((header, vector), control) in headers.iter_mut().zip(&mut vectors).zip(&mut self.controls) {
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = CONTROL;
            }
            // SAFETY: the headers point to buffers of the lengths they say, which live and are ours until it returns.
            let received = unsafe {
                let flags = libc::MSG_DONTWAIT;
                libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), BATCH as u32, flags, ptr::null_mut())
            };
            // Nothing there, or the other side's port is closed: whoever counts notices.
            let Ok(received) = usize::try_from(received) else { return };
            for (index, header) in headers[..received].iter().enumerate() {
                let length = (header.msg_len as usize).min(length);
                each(&self.bytes[index * WHOLE..][..length], arrived(&header.msg_hdr));
            }
            if received < BATCH {
                return;
            }
        }
    }
}

/// The kernel is to say when datagrams arrive.
pub(super) fn stamp(socket: &UdpSocket) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Room for datagrams that wait, in bytes.
pub(super) fn set_room(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes as libc::c_int)
}

/// Sends `datagrams`, one behind the other and `size` bytes each (the last may be shorter), to one receiver.
pub(super) fn send_segmented(
    socket: &UdpSocket,
    to: SocketAddrV4,
    datagrams: &[u8],
    size: u16,
) -> io::Result<()> {
    let mut control = Control([0; CONTROL]);
    let mut vector = libc::iovec { iov_base: datagrams.as_ptr().cast_mut().cast(), iov_len: datagrams.len() };
    let mut name = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.ip().octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: all zeros are a valid header; what it then points to has the lengths it says and lives until `sendmsg`
    // returns, which only reads; the control buffer has room for one message of two bytes.
    let sent = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as usize;
        let message = libc::CMSG_FIRSTHDR(&raw const header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as usize;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(size);
        libc::sendmsg(socket.as_raw_fd(), &raw const header, 0)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set(socket: &UdpSocket, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is an int and the length is an int's.
    let done =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Zero where the kernel does not say.
fn arrived(header: &libc::msghdr) -> Duration {
    // SAFETY: the kernel has written whole control messages and their total length.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(found) = message.as_ref() {
            if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_TIMESTAMPNS {
                let time = libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned();
                return Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    Duration::ZERO
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn what_is_sent_at_once_arrives_as_datagrams_with_the_time_of_their_arrival() {
        let [sender, receiver] = [0, 1].map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        stamp(&receiver).unwrap();
        set_room(&receiver, 1 << 20).unwrap();
        let SocketAddr::V4(address) = receiver.local_addr().unwrap() else { panic!("bound to IPv4") };
        let datagrams: Vec<u8> = (0..40 * 1000 + 300).map(|at| (at / 1000) as u8).collect();
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let sent = clock();
        send_segmented(&sender, address, &datagrams, 1000).unwrap();
        let (mut inbox, mut found, began) = (Inbox::default(), Vec::new(), Instant::now());
        while found.len() < 41 && began.elapsed() < Duration::from_secs(10) {
            inbox.empty(&receiver, false, |datagram, arrived| {
                assert!(arrived >= sent && arrived <= clock(), "{sent:?} {arrived:?}");
                assert!(datagram.iter().all(|byte| *byte == datagram[0]));
                found.push((datagram[0], datagram.len()));
            });
        }
        let expected: Vec<(u8, usize)> = (0..40).map(|number| (number, 1000)).chain([(40, 300)]).collect();
        assert_eq!(found, expected);
        send_segmented(&sender, address, &datagrams[..2000], 1000).unwrap();
        let mut lengths = Vec::new();
        while lengths.len() < 2 && began.elapsed() < Duration::from_secs(10) {
            inbox.empty(&receiver, true, |datagram, _| lengths.push(datagram.len()));
        }
        assert_eq!(lengths, [BEGINNING, BEGINNING]);
    }
}
