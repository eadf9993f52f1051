//! Single values as people write them: names, addresses, sizes, rates, durations.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub(super) const NAME: &str = "1 to 64 of A-Z a-z 0-9 space _ . -, and not only dots";

/// Names of cameras, walls and tokens: safe in a URL, a log line, a metric label and a page.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " _.-".contains(c))
        && text.chars().any(|c| c != '.')
}

pub(super) const ADDRESS: &str = "an IP address and a port, such as 127.0.0.1:8081 or [::1]:8081";

/// `127.0.0.1:8081`, `[::1]:8081`, or `localhost:8081`, which is the first.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, number(port)?))),
        None => text.parse().ok(),
    }
}

/// `true` or `false`.
pub(super) fn yes_or_no(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// A plain decimal number.
pub(super) fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// A whole number, negative or not.
pub(super) fn whole(text: &str) -> Option<i32> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    number::<u32>(digits).and_then(|_| text.parse().ok())
}

/// `1920x1080`: width and height in pixels.
pub(super) fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(['x', 'X', '×'])?;
    Some((number(width.trim())?, number(height.trim())?))
}

/// `4M`, `2.5M`, `800k` or a plain number, in bits a second.
pub(crate) fn bitrate(text: &str) -> Option<u64> {
    let (digits, thousands) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 2),
            None => (text, 0),
        },
    };
    scaled(digits, 1000_u64.pow(thousands))
}

/// `10s`, `1.5s`, `500ms` or `2m`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (digits, unit_ms) = if let Some(digits) = text.strip_suffix("ms") {
        (digits, 1)
    } else if let Some(digits) = text.strip_suffix('s') {
        (digits, 1_000)
    } else if let Some(digits) = text.strip_suffix('m') {
        (digits, 60_000)
    } else {
        return None;
    };
    scaled(digits.trim_end(), unit_ms).map(Duration::from_millis)
}

/// A decimal number with at most three digits behind the point, times `unit`; exact.
fn scaled(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.len() > 3 {
        return None;
    }
    let thousandths = number::<u64>(fraction)? * 10_u64.pow(3 - u32::try_from(fraction.len()).ok()?);
    let total = number::<u64>(whole)?.checked_mul(1000)?.checked_add(thousandths)?.checked_mul(unit)?;
    total.is_multiple_of(1000).then_some(total / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitrates_are_exact_in_bits_a_second() {
        assert_eq!(bitrate("4M"), Some(4_000_000));
        assert_eq!(bitrate("2.5M"), Some(2_500_000));
        assert_eq!(bitrate("800k"), Some(800_000));
        assert_eq!(bitrate("4000000"), Some(4_000_000));
        for wrong in ["", "M", "4 M", "4G", "-4M", "4.M", "1.0001M", "0.5", "99999999999999999999M"] {
            assert_eq!(bitrate(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        assert_eq!(duration("10s"), Some(Duration::from_secs(10)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for wrong in ["10", "s", "ten s", "10h", "-1s", "1e3s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_safe_in_urls_and_pages() {
        for good in ["left", "1", "Front door", "a.b-c_d", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\nb", "<img>", "ü", "a?b", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_numeric_but_for_localhost() {
        assert_eq!(address("localhost:80"), "127.0.0.1:80".parse().ok());
        assert_eq!(address("[::]:8081"), "[::]:8081".parse().ok());
        for bad in ["8081", ":8081", "127.0.0.1", "127.0.0.1:99999", "example.org:80", "localhost:"] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }
}
