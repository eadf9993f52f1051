//! Which addresses viewers are told to send to.

use std::net::IpAddr;

use rtc::shared::ifaces::ifaces;

/// The addresses to bind for `configured`: `0.0.0.0` and `::` stand for every interface of their family, loopback
/// among them, because a viewer on this machine must connect with and without a network. The library's own expansion
/// leaves loopback out. Link-local addresses are left out: without a scope they mean nothing to the other side.
pub fn host_addresses(configured: &[IpAddr]) -> Vec<IpAddr> {
    let interfaces =
        || ifaces().unwrap_or_default().into_iter().filter_map(|interface| Some(interface.addr?.ip()));
    expand(configured, interfaces)
}

fn expand<I: Iterator<Item = IpAddr>>(configured: &[IpAddr], interfaces: impl Fn() -> I) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut add = |address| {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    };
    for &address in configured {
        if !address.is_unspecified() {
            add(address);
            continue;
        }
        interfaces()
            .filter(|found| {
                found.is_ipv4() == address.is_ipv4() && !found.is_unspecified() && !is_link_local(found)
            })
            .for_each(&mut add);
    }
    addresses
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(configured: &[&str], expected: &[&str]) {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let interfaces = parse(&[
            "127.0.0.1",
            "192.168.8.2",
            "169.254.1.1",
            "::1",
            "2001:db8::2",
            "fe80::1",
            "192.168.8.2",
        ]);
        assert_eq!(expand(&parse(configured), || interfaces.iter().copied()), parse(expected));
    }

    #[test]
    fn a_wildcard_is_every_interface_of_its_family_once_with_loopback() {
        check(&["0.0.0.0"], &["127.0.0.1", "192.168.8.2"]);
        check(&["::"], &["::1", "2001:db8::2"]);
        check(&["192.168.8.2", "0.0.0.0"], &["192.168.8.2", "127.0.0.1"]);
    }

    #[test]
    fn a_concrete_address_is_taken_as_it_is() {
        check(&["10.0.0.9"], &["10.0.0.9"]);
    }

    #[test]
    fn this_machine_has_a_loopback_to_offer() {
        assert!(host_addresses(&["0.0.0.0".parse().unwrap()]).contains(&"127.0.0.1".parse().unwrap()));
    }
}
