#![allow(clippy::unwrap_used, reason = "tests")]
use axum::body::{Body, to_bytes};
use axum::extract::Path;
use axum::routing::{any, get};
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::auth::{Auth, Identity, Roles, Token};

const LAN: &str = "192.168.8.2:8081";

fn server(bound: &str, auth: Auth) -> Router {
    let names = ["wall.example.org".to_owned(), "10.9.9.9".to_owned()];
    let origins = ["https://intranet.example.org".to_owned()];
    let guard = Guard::new(bound.parse().unwrap(), &names, &origins, Arc::new(Authenticator::new(auth)));
    let whoami = |identity: Option<axum::Extension<Identity>>, uri: Uri| async move {
        let name = identity.and_then(|identity| identity.0.name.clone());
        format!("{uri} by {}", name.as_deref().unwrap_or("anybody"))
    };
    let router = Router::new()
        .route("/", any(whoami))
        .route("/wall/{name}", get(whoami))
        .route("/stats", get(whoami))
        .route("/whep/{name}", any(whoami))
        .route("/assets/player.js", any(whoami))
        .route("/api/v1/walls/{name}/layout", any(whoami))
        .route("/api/v1/cameras/{name}/push", any(whoami))
        .route("/src", get(whoami))
        .route(
            "/nope/{name}",
            any(|Path(name): Path<String>| async move {
                Problem::new(StatusCode::NOT_FOUND, format!("the name {name:?}"), "the name of a wall")
            }),
        )
        .route("/livez", any(whoami));
    guard.protect(router)
}

fn tokens() -> Auth {
    let token = |name: &str, role| Token::new(name, format!("{name}-secret"), Roles::from_iter([role]));
    Auth::Tokens(vec![token("kiosk", Role::View), token("camera", Role::Publish), token("boss", Role::Admin)])
}

/// `GET /path` and headers, a line each, to a server without tokens bound to `bound`.
async fn ask(router: Router, request: &str) -> (StatusCode, HeaderMap, String) {
    let mut lines = request.lines().map(str::trim);
    let (method, uri) = lines.next().unwrap().split_once(' ').unwrap();
    let mut built = Request::builder().method(method).uri(uri);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        built = built.header(name, value.trim());
    }
    let response = router.oneshot(built.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 1 << 16).await.unwrap();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[track_caller]
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[track_caller]
fn check(bound: &str, auth: Auth, request: &str, expected: u16) -> (HeaderMap, String) {
    let (status, headers, body) = block_on(ask(server(bound, auth), request));
    assert_eq!(status.as_u16(), expected, "{request}\n{body}");
    (headers, body)
}

#[track_caller]
fn check_host(bound: &str, host: &str, expected: u16) -> String {
    check(bound, Auth::Open, &format!("GET /\nhost: {host}"), expected).1
}

#[test]
fn our_own_hosts_pass_with_and_without_port() {
    for host in [
        "localhost",
        "LOCALHOST:8081",
        "localhost:9999",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:8081",
        "127.9.9.9",
        "[::1]",
        "[::1]:8081",
        "[::ffff:127.0.0.1]",
        "192.168.8.2",
        "192.168.8.2:8081",
        "wall.example.org",
        "Wall.Example.Org:443",
        "wall.example.org.",
        "10.9.9.9",
    ] {
        check_host(LAN, host, 200);
    }
    check_host("[2001:db8::2]:8081", "[2001:DB8::2]:8081", 200);
}

#[test]
fn foreign_hosts_are_refused_with_what_was_found_and_expected() {
    for host in [
        "evil.example",
        "evil.example:8081",
        "localhost.evil.example",
        "wall.example.org.evil.example",
        "xwall.example.org",
        "192.168.8.3",
        "0.0.0.0",
        "[::2]",
        "2130706433",
        "127.0.0.1.nip.io",
        "localhost:",
        "localhost:99999",
        "user@localhost",
        "",
        "a b",
        "localhost, evil.example",
        "[::1",
        "::1",
    ] {
        check_host(LAN, host, 403);
    }
    let body: Value = serde_json::from_str(&check_host(LAN, "evil.example:8081", 403)).unwrap();
    assert_eq!(body["status"], 403);
    assert_eq!(body["found"], "the Host evil.example");
    assert!(
        body["expected"].as_str().unwrap().starts_with("localhost, 192.168.8.2, wall.example.org"),
        "{body}"
    );
    assert!(
        body["detail"].as_str().unwrap().starts_with("found the Host evil.example, expected localhost"),
        "{body}"
    );
}

#[test]
fn a_rebound_name_is_refused_on_a_wildcard_listener_where_addresses_pass() {
    for bound in ["0.0.0.0:8081", "[::]:8081"] {
        check_host(bound, "192.168.8.2:8081", 200);
        check_host(bound, "[2001:db8::2]:8081", 200);
        check_host(bound, "wall.example.org", 200);
        check_host(bound, "rebound.evil.example:8081", 403);
    }
}

#[test]
fn exactly_one_host_has_to_be_there_and_a_whole_url_counts_as_it() {
    check(LAN, Auth::Open, "GET /", 403);
    check(LAN, Auth::Open, "GET /\nhost: localhost\nhost: evil.example", 403);
    check(LAN, Auth::Open, "GET http://evil.example/\nhost: localhost", 403);
    check(LAN, Auth::Open, "GET http://localhost:8081/\nhost: localhost:8081", 200);
}

#[test]
fn what_changes_something_must_come_from_a_page_of_ours() {
    let from = |method: &str, host: &str, origin: &str, expected| {
        check(LAN, Auth::Open, &format!("{method} /whep/wall\nhost: {host}\norigin: {origin}"), expected);
    };
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        from(method, "localhost:8081", "http://localhost:8081", 200);
        from(method, "localhost:8081", "http://evil.example", 403);
        from(method, "localhost:8081", "null", 403);
    }
    from("POST", "localhost:8081", "http://localhost:3000", 403);
    from("POST", "localhost:8081", "http://127.0.0.1:8081", 403);
    from("POST", "localhost:8081", "http://localhost", 403);
    from("POST", "localhost:8081", "http://localhost:8081.evil.example", 403);
    from("POST", "localhost:8081", "http://evil@localhost:8081", 403);
    from("POST", "localhost:8081", "chrome-extension://localhost:8081", 403);
    from("POST", "localhost:8081", "", 403);
    from("POST", "[::1]:8081", "http://[::1]:8081", 200);
    // A proxy that ends TLS, and ports that go without saying.
    from("POST", "wall.example.org", "https://wall.example.org", 200);
    from("POST", "wall.example.org:443", "https://wall.example.org", 200);
    from("POST", "wall.example.org", "http://wall.example.org:80", 200);
    from("POST", "wall.example.org", "https://wall.example.org:8443", 403);
}

/// What CORS says in the answer to `request` from `origin`: which page may read it.
#[track_caller]
fn check_cors(auth: Auth, request: &str, origin: &str, status: u16, readable: bool) -> HeaderMap {
    let (headers, _) = check(LAN, auth, &format!("{request}\nhost: localhost\norigin: {origin}"), status);
    let allowed = headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
    assert_eq!(allowed, readable.then_some(origin), "{request} from {origin}");
    assert_eq!(headers.contains_key("access-control-expose-headers"), readable);
    headers
}

const ELSEWHERE: &str = "https://elsewhere.example";
const LISTED: &str = "https://intranet.example.org";
const PREFLIGHT: &str = "OPTIONS /whep/wall\naccess-control-request-method: POST\naccess-control-request-headers: authorization,content-type";

#[test]
fn with_tokens_a_page_elsewhere_that_has_one_watches() {
    for origin in [ELSEWHERE, LISTED, "null"] {
        let headers = check_cors(tokens(), PREFLIGHT, origin, 204, true);
        assert!(headers["access-control-allow-headers"].to_str().unwrap().contains("Authorization"));
        assert!(headers["access-control-allow-methods"].to_str().unwrap().contains("PATCH"));
        let with_token = "POST /whep/wall\nauthorization: Bearer kiosk-secret";
        let headers = check_cors(tokens(), with_token, origin, 200, true);
        assert_eq!(headers["access-control-expose-headers"], "Location, Link, ETag, Retry-After");
        assert_eq!(headers["vary"], "origin");
        assert!(!headers.contains_key("access-control-allow-credentials"));
        check_cors(tokens(), "DELETE /whep/wall?token=kiosk-secret", origin, 200, true);
        // It may read that it was refused, too.
        check_cors(tokens(), "POST /whep/wall", origin, 401, true);
        check_cors(tokens(), "POST /whep/wall\nauthorization: Bearer camera-secret", origin, 403, true);
    }
}

#[test]
fn without_tokens_only_pages_that_are_listed_watch() {
    check_cors(Auth::Open, PREFLIGHT, LISTED, 204, true);
    check_cors(Auth::Open, "POST /whep/wall", LISTED, 200, true);
    check_cors(Auth::Open, PREFLIGHT, ELSEWHERE, 200, false);
    for origin in
        [ELSEWHERE, "null", "https://intranet.example.org.evil.example", "http://intranet.example.org"]
    {
        check_cors(Auth::Open, "POST /whep/wall", origin, 403, false);
    }
}

#[test]
fn pages_elsewhere_get_nothing_but_whep() {
    for auth in [Auth::Open, tokens()] {
        let token = "authorization: Bearer boss-secret";
        check_cors(auth.clone(), &format!("GET /stats\n{token}"), LISTED, 200, false);
        check_cors(auth.clone(), &format!("PUT /api/v1/walls/wall/layout\n{token}"), LISTED, 403, false);
        check_cors(auth.clone(), &format!("POST /src\n{token}"), LISTED, 403, false);
        // Nor does CORS open the door to a stranger's name for us.
        let (headers, _) =
            check(LAN, auth, &format!("{PREFLIGHT}\nhost: evil.example\norigin: {LISTED}"), 403);
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
}

#[test]
fn our_own_pages_need_no_cors() {
    check_cors(
        tokens(),
        "POST /whep/wall\nauthorization: Bearer kiosk-secret",
        "http://localhost",
        200,
        false,
    );
    let twice = format!("POST /whep/wall\nhost: localhost\norigin: {LISTED}\norigin: {LISTED}");
    check(LAN, Auth::Open, &twice, 403);
}

#[test]
fn programs_send_no_origin_and_pass_but_browsers_that_hide_theirs_do_not() {
    check(LAN, Auth::Open, "POST /whep/wall\nhost: localhost", 200);
    for (site, expected) in
        [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403), ("new", 403)]
    {
        check(
            LAN,
            Auth::Open,
            &format!("POST /whep/wall\nhost: localhost\nsec-fetch-site: {site}"),
            expected,
        );
    }
    check(
        LAN,
        Auth::Open,
        "POST /whep/wall\nhost: localhost\norigin: http://localhost\norigin: http://evil.example",
        403,
    );
}

#[test]
fn reading_is_free_of_origin_but_a_websocket_is_not() {
    check(LAN, Auth::Open, "GET /stats\nhost: localhost\norigin: http://evil.example", 200);
    let socket = "GET /stats\nhost: localhost\nconnection: upgrade\nupgrade: websocket";
    check(LAN, Auth::Open, &format!("{socket}\norigin: http://evil.example"), 403);
    check(LAN, Auth::Open, &format!("{socket}\norigin: null"), 403);
    check(LAN, Auth::Open, &format!("{socket}\norigin: http://localhost"), 200);
    check(LAN, Auth::Open, socket, 200);
}

#[test]
fn without_a_fitting_token_only_livez_and_scripts_answer() {
    for path in ["/", "/stats", "/wall/wall", "/whep/wall", "/no-such-path", "/assets", "/livez/x"] {
        let (headers, _) = check(LAN, tokens(), &format!("GET {path}\nhost: localhost"), 401);
        assert_eq!(headers["www-authenticate"], "Bearer realm=\"wallcast\"");
        assert_eq!(headers["content-type"], "application/problem+json");
    }
    check(LAN, tokens(), "GET /livez\nhost: localhost", 200);
    check(LAN, tokens(), "GET /livez\nhost: evil.example", 403);
    check(LAN, tokens(), "GET /assets/player.js\nhost: localhost", 200);
    check(LAN, tokens(), "GET /assets/../stats\nhost: localhost", 404);
    check(LAN, tokens(), "POST /assets/player.js\nhost: localhost", 401);
    check(LAN, tokens(), "POST /livez\nhost: localhost", 401);
}

#[test]
fn each_route_asks_for_its_role() {
    for (method, path, role) in [
        ("GET", "/", "kiosk"),
        ("GET", "/stats", "kiosk"),
        ("POST", "/whep/wall", "kiosk"),
        ("DELETE", "/whep/wall", "kiosk"),
        ("GET", "/api/v1/walls/wall/layout", "kiosk"),
        ("PUT", "/api/v1/walls/wall/layout", "boss"),
        ("POST", "/", "boss"),
        ("GET", "/api/v1/cameras/left/push", "camera"),
    ] {
        for name in ["kiosk", "camera", "boss"] {
            let fits = name == role || (name == "boss" && role == "kiosk");
            let request = format!("{method} {path}\nhost: localhost\nauthorization: Bearer {name}-secret");
            let (headers, body) = check(LAN, tokens(), &request, if fits { 200 } else { 403 });
            if fits {
                assert_eq!(body, format!("{path} by {name}"));
            } else {
                assert!(headers["www-authenticate"].to_str().unwrap().contains("insufficient_scope"));
                assert!(!body.contains("-secret"), "{body}");
            }
        }
    }
}

#[test]
fn a_token_may_come_in_the_query_and_goes_no_further() {
    let (_, body) = check(LAN, tokens(), "GET /wall/wall?a=1&token=kiosk%2Dsecret&b=2\nhost: localhost", 200);
    assert_eq!(body, "/wall/wall?a=1&b=2 by kiosk");
    let (_, body) = check(LAN, tokens(), "GET /stats?token=kiosk-secret\nhost: localhost", 200);
    assert_eq!(body, "/stats by kiosk");
    let (_, body) = check(LAN, tokens(), "GET /src?token=kiosk-secret&src=left\nhost: localhost", 200);
    assert_eq!(body, "/src?src=left by kiosk");
    check(LAN, tokens(), "GET /stats?xtoken=kiosk-secret\nhost: localhost", 401);
    check(LAN, tokens(), "GET /stats?token\nhost: localhost", 401);
    check(LAN, tokens(), "GET /stats?token=\nhost: localhost", 401);
    check(LAN, tokens(), "GET /stats?token=wrong&token=kiosk-secret\nhost: localhost", 401);
    // A header says more than an address bar.
    check(LAN, tokens(), "GET /stats?token=kiosk-secret\nhost: localhost\nauthorization: Bearer wrong", 401);
    check(
        LAN,
        tokens(),
        "GET /stats?token=kiosk-secret\nhost: localhost\nauthorization: Basic a2lvc2s=",
        200,
    );
}

#[test]
fn an_unknown_token_is_told_so_and_not_repeated() {
    let (headers, body) =
        check(LAN, tokens(), "GET /stats\nhost: localhost\nauthorization: bearer geheim", 401);
    assert!(headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    assert!(!body.contains("geheim"), "{body}");
}

#[test]
fn guessing_from_one_address_is_answered_with_a_pause() {
    let router = server(LAN, tokens());
    let guess = |token: &str| {
        let mut request = Request::builder().uri(format!("/stats?token={token}")).header("host", "localhost");
        let from: SocketAddr = "192.168.8.66:5000".parse().unwrap();
        request.extensions_mut().unwrap().insert(ConnectInfo(from));
        block_on(router.clone().oneshot(request.body(Body::empty()).unwrap())).unwrap()
    };
    for _ in 0..10 {
        assert_eq!(guess("wrong").status(), 401);
    }
    let response = guess("kiosk-secret");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "2");
}

#[test]
fn every_answer_has_the_security_headers() {
    for (request, status) in [
        ("GET /\nhost: localhost", 200),
        ("GET /nowhere\nhost: localhost", 404),
        ("GET /\nhost: evil.example", 403),
        ("DELETE /stats\nhost: localhost", 405),
    ] {
        let (headers, _) = check(LAN, Auth::Open, request, status);
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'self';") && policy.ends_with("frame-ancestors 'self'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
    let (headers, _) = check(LAN, Auth::Open, "GET /wall/wall\nhost: localhost", 200);
    assert!(
        !headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors"),
        "displays are embedded"
    );
}

/// As Chromium sends it when somebody enters an address; as its `fetch` does; and some programs.
const NAVIGATION: &str = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8";
const PROGRAMS: [&str; 6] = [
    "accept: */*",
    "accept: application/json",
    "accept: application/json, text/html",
    "accept: application/problem+json, text/html;q=0.9",
    "accept: text/html;q=0",
    "x-nothing: at all",
];

#[test]
fn a_browser_that_navigates_gets_a_page_for_an_error_and_a_program_gets_json() {
    for (auth, target, status, words) in [
        (
            Auth::Open,
            "/nope/wall\nhost: localhost",
            404,
            "Found the name &quot;wall&quot;, expected the name",
        ),
        (tokens(), "/wall/wall\nhost: localhost", 401, "Found no token, expected one with the role view"),
        (tokens(), "/wall/wall?token=geheim\nhost: localhost", 401, "Found an unknown token"),
        (Auth::Open, "/\nhost: evil.example", 403, "Found the Host evil.example, expected localhost"),
    ] {
        let (headers, page) = check(LAN, auth.clone(), &format!("GET {target}\n{NAVIGATION}"), status);
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'self';"));
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
        assert!(page.contains(words), "{page}");
        assert!(page.contains(r#"<meta http-equiv="refresh" content="15">"#), "it does not recover: {page}");
        assert!(!page.contains("{{") && !page.contains("geheim"), "{page}");
        for program in PROGRAMS {
            let (headers, body) = check(LAN, auth.clone(), &format!("GET {target}\n{program}"), status);
            assert_eq!(headers["content-type"], "application/problem+json", "{program}");
            assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["status"], status, "{program}");
        }
    }
}

#[test]
fn what_is_no_error_is_not_touched_by_a_navigation() {
    let (_, body) = check(LAN, Auth::Open, &format!("GET /wall/wall\nhost: localhost\n{NAVIGATION}"), 200);
    assert_eq!(body, "/wall/wall by anybody");
    check(LAN, Auth::Open, &format!("HEAD /nope/wall\nhost: localhost\n{NAVIGATION}"), 404);
}

#[test]
fn a_name_on_an_error_page_is_words_and_nothing_else() {
    let name = "%3Cscript%20src=%22//evil.example%22%3E%3C/script%3E%22'%26{{title}}";
    let name = name.replace('/', "%2F");
    let (_, page) = check(LAN, Auth::Open, &format!("GET /nope/{name}\nhost: localhost\n{NAVIGATION}"), 404);
    assert!(page.contains("&lt;script src=\\&quot;//evil.example"), "{page}");
    assert!(page.contains("{{title}}"), "what a stranger wrote is a placeholder: {page}");
    let tags = |text: &str| text.matches('<').count();
    let (_, plain) = check(LAN, Auth::Open, &format!("GET /nope/wall\nhost: localhost\n{NAVIGATION}"), 404);
    assert_eq!(tags(&page), tags(&plain), "{page}");
}
