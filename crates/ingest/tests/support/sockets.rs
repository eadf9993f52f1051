//! Which TCP connections of this process are open, from `/proc`: both ends of a test are in one process, and only the
//! camera's end says where the other one is.

use std::net::{Ipv4Addr, SocketAddr};

const ESTABLISHED: &str = "01";

/// How many connections to this address are open at their own end. One that has been closed there is not counted even
/// when the camera has not noticed.
pub(crate) fn connected_to(camera: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    let is_open = |line: &&str| {
        let mut columns = line.split_whitespace().skip(2);
        columns.next().and_then(address) == Some(camera) && columns.next() == Some(ESTABLISHED)
    };
    table.lines().skip(1).filter(is_open).count()
}

/// `0100007F:1F90`, the address in the machine's own byte order.
fn address(column: &str) -> Option<SocketAddr> {
    let (ip, port) = column.split_once(':')?;
    let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.to_ne_bytes());
    Some((ip, u16::from_str_radix(port, 16).ok()?).into())
}
