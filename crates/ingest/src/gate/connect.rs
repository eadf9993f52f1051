//! Placeholder of GATE until PACKETS' module is merged.
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::session::failure::Failure;
use crate::source::SourceUrl;

pub(crate) async fn connect(source: &SourceUrl) -> Result<(TcpStream, String), Failure> {
    let host = source.host().into_owned();
    let lookup = tokio::net::lookup_host((host.as_str(), source.port()));
    let after = Duration::from_secs(5);
    let mut addresses = timeout(after, lookup)
        .await
        .map_err(|_| Failure::NameServerSilent { host: host.clone(), after })?
        .map_err(|error| match error.to_string().contains("Temporary failure") {
            true => Failure::NameServerFailed { host: host.clone() },
            false => Failure::NoSuchHost { host: host.clone() },
        })?;
    let address = addresses.next().ok_or_else(|| Failure::NoSuchHost { host: host.clone() })?;
    let shown = address.to_string();
    let stream = timeout(after, TcpStream::connect(address))
        .await
        .map_err(|_| Failure::NoAnswer { address: shown.clone(), after })?
        .map_err(|error| Failure::of_connect(error.kind(), &shown))?;
    let _ = stream.set_nodelay(true);
    Ok((stream, shown))
}
