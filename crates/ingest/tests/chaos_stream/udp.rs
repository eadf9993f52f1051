//! Rows 14: what a network does to UDP.

use super::*;

/// Loses or reorders what a camera sends by UDP.
#[derive(Debug, Clone, Copy)]
enum Network {
    Losing { percent: u32 },
    Reordering { by: usize },
    Dead,
}

/// Sends a film over this network, as long as it is by UDP.
async fn show_over(network: Network, mut visit: Visit, film: Film) -> Result<()> {
    let mut seed = 4_711_u32;
    let mut held: Vec<Vec<u8>> = Vec::new();
    if !matches!(network, Network::Dead) {
        // Whoever joins cannot know what came before the first packet that he got.
        visit.show(&film, 25).await?;
    }
    loop {
        visit.stay(film.every, &film).await?;
        let mut packets = visit.rtp.picture(&film);
        match network {
            _ if visit.udp.is_none() => {}
            Network::Dead => packets.clear(),
            Network::Losing { percent } => packets.retain(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) % 100 >= percent
            }),
            Network::Reordering { by } => {
                held.append(&mut packets);
                while held.len() > by {
                    let mut group: Vec<_> = held.drain(..=by).collect();
                    group.reverse();
                    packets.append(&mut group);
                }
            }
        }
        visit.send_packets(&packets).await?;
    }
}

fn by_udp() -> Setting {
    // Falling back to TCP is no failure and waits for nothing.
    Setting {
        ladder: Ladder::Own,
        change: |config| wallcast_ingest::CameraConfig { transport: Transport::Udp, ..config },
        ..Setting::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_c18_udp_losses_never_turn_the_tile_black_and_end_in_tcp_when_they_are_many() {
    let trials = [1, 5, 10].into_iter().map(|percent| async move {
        let name = format!("r14-{percent}");
        let network = Network::Losing { percent };
        let camera = playing(Film::h264(), move |visit, film| show_over(network, visit, film)).await;
        let trial = Trial::start_with(&name, &camera, by_udp()).await;
        trial.until_live().await;
        trial.until_frames(150, 20).await;
        let by_tcp = || camera.journal.asked("SETUP").iter().any(|head| head.contains("interleaved"));
        if percent == 10 {
            trial.until("over TCP", 20, |_| by_tcp()).await;
            trial.until_frames(50, 10).await;
        }
        assert_eq!(trial.stats().transport, Some(if by_tcp() { "tcp" } else { "udp" }), "{name}");
        let looks = trial.finish(&camera).await;
        assert!(never_black_again(&looks), "{name}");
    });
    join_all(trials).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_c18_udp_packets_out_of_order_by_five_are_put_in_order() {
    // Several packets a picture, so that the order matters within one and between two.
    let network = Network::Reordering { by: 5 };
    let camera = playing(Film::h264(), move |visit, film| show_over(network, visit, film)).await;
    let trial = Trial::start_with("r14r", &camera, by_udp()).await;
    trial.until_live().await;
    trial.until_frames(75, 20).await;
    let stats = trial.stats();
    assert_eq!((stats.reconnects, stats.decode_errors), (0, 0), "{stats:?}");
    trial.finish(&camera).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_c18_udp_from_a_port_that_changes_goes_on() {
    let camera = playing(Film::h264(), |mut visit, film| async move {
        visit.show(&film, 50).await?;
        if let Some(udp) = &mut visit.udp {
            udp.rtp = UdpSocket::bind("127.0.0.1:0").await?;
        }
        visit.show_on(&film).await
    })
    .await;
    check_plays("r14p", camera, 100, by_udp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_14_c18_udp_that_never_arrives_ends_in_tcp() {
    let camera = playing(Film::h264(), |visit, film| show_over(Network::Dead, visit, film)).await;
    let trial = Trial::start_with("r14d", &camera, by_udp()).await;
    let look = trial.until_live().await;
    assert_eq!((trial.stats().transport, look.reason), (Some("tcp"), None));
    // Ten seconds after PLAY, which is what a camera has to start its encoder.
    let asked = camera.journal.times(|what| matches!(what, What::Asked(method, _) if method == "SETUP"));
    let waited = asked[1] - asked[0];
    assert!((Duration::from_secs(10)..Duration::from_secs(13)).contains(&waited), "{waited:?}");
    trial.finish(&camera).await;
}
