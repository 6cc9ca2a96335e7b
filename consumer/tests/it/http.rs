//! The job type `http`.

use std::time::Duration;

use polychron_consumer::testing::{FakeContext, Ran};
use serde_json::{Value, json};
use shared::outcome::Outcome;
use tokio_util::sync::CancellationToken;

use crate::known;
use crate::peer::{Answer, Peer, text};

/// Allows calls to the tests' servers.
const HERE: (&str, &str) = ("POLYCHRON_HTTP_ALLOW", "127.0.0.1");

async fn call(payload: Value) -> Ran {
    FakeContext::new().run_type(&known(&[HERE]), "http", payload).await
}

#[tokio::test]
async fn a_call_identifies_the_execution_and_keeps_the_beginning_of_the_answer() {
    let peer = Peer::start("127.0.0.1", &[text("201 Created", "", &"ä".repeat(1000))]).await;
    let payload = json!({
        "url": peer.url("/hook?a=1"), "headers": {"X-Colour": "blue"}, "body": {"order": 7},
        "signing_secret": "correct-horse-battery",
    });
    let context = FakeContext::new().tenant("acme").attempt(2);
    let context = context.scheduled_for("2026-11-24T12:00:00Z".parse().unwrap());
    let ran = context.run_type(&known(&[HERE]), "http", payload).await;
    let result = ran.result();
    assert_eq!(result["status"], 201);
    assert_eq!(result["body_cut"], true);
    assert_eq!(result["body"].as_str().unwrap().chars().count(), 512);

    let request = &peer.requests()[0];
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?a=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, r#"{"order":7}"#);
    let header = |name: &str| {
        let prefix = format!("{name}: ");
        let line = head.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
    };
    assert_eq!(header("host"), peer.address.to_string());
    assert_eq!(header("x-colour"), "blue");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("polychron-attempt"), "2");
    assert_eq!(header("polychron-tenant"), "acme");
    assert_eq!(header("webhook-id"), header("idempotency-key"));
    assert!(header("idempotency-key").ends_with("/1/1795521600000000"));
    assert!(header("webhook-signature").starts_with("v1,"));
    peer.closed().await;
}

#[tokio::test]
async fn the_status_decides_whether_and_when_to_retry() {
    for (status, headers, retry, after) in [
        ("500 Oops", "", true, None),
        ("503 Busy", "retry-after: 120\r\n", true, Some(120)),
        ("429 Slowly", "Retry-After: 7\r\n", true, Some(7)),
        ("404 Not Found", "retry-after: 9\r\n", false, None),
        ("410 Gone", "", false, None),
        ("302 Found", "", true, None),
    ] {
        let peer = Peer::start("127.0.0.1", &[text(status, headers, "because")]).await;
        let ran = call(json!({"url": peer.url("/private/token")})).await;
        let failure = ran.failure();
        let code = &status[..3];
        assert_eq!(failure.message, format!("127.0.0.1 answered {code}"));
        assert_eq!(failure.detail.as_deref(), Some("because"));
        assert_eq!(failure.retry, retry, "{status}");
        assert_eq!(failure.retry_after.map(|delay| delay.as_secs()), after, "{status}");
    }
    let peer = Peer::start("127.0.0.1", &[text("404 Not Found", "", "")]).await;
    let expected = json!({"url": peer.url("/"), "expected_status": [404], "method": "DELETE"});
    assert_eq!(call(expected).await.result()["status"], 404);
    assert!(peer.requests()[0].starts_with("DELETE / "));
}

#[tokio::test]
async fn a_silent_slow_or_endless_server_is_given_up() {
    let (silent, dripping) = (Answer::Silence, Answer::Dripping("HTTP/1.1 200 OK\r\n".into()));
    for answer in [silent, dripping] {
        let peer = Peer::start("127.0.0.1", &[answer]).await;
        let ran = call(json!({"url": peer.url("/"), "timeout_seconds": 1})).await;
        assert_eq!(ran.failure().message, "no complete answer within 1 s");
        assert!(ran.failure().retry);
        peer.closed().await;
    }
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\nconnection: close\r\n\r\n";
    let peer = Peer::start("127.0.0.1", &[Answer::Endless(endless.into())]).await;
    let ran = call(json!({"url": peer.url("/")})).await;
    assert_eq!(ran.result()["body_cut"], true);
    peer.closed().await;
    let headers = Answer::Endless("HTTP/1.1 200 OK\r\na: ".into());
    let peer = Peer::start("127.0.0.1", &[headers]).await;
    let ran = call(json!({"url": peer.url("/")})).await;
    assert!(ran.failure().message.contains("too large"), "{:?}", ran.failure());
    peer.closed().await;
    for nonsense in ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 9999 X\r\n\r\n", ""] {
        let peer = Peer::start("127.0.0.1", &[Answer::Text(nonsense.into())]).await;
        assert!(call(json!({"url": peer.url("/")})).await.failure().retry, "{nonsense}");
    }
}

#[tokio::test]
async fn cancel_and_timeout_close_the_connection() {
    let peer = Peer::start("127.0.0.1", &[Answer::Silence]).await;
    let cancel = CancellationToken::new();
    let calling = tokio::spawn({
        let (payload, cancel) = (json!({"url": peer.url("/")}), cancel.clone());
        async move {
            FakeContext::new().cancel_by(cancel).run_type(&known(&[HERE]), "http", payload).await
        }
    });
    testkit::eventually("the request is there", || async {
        (!peer.requests().is_empty()).then_some(())
    })
    .await;
    cancel.cancel();
    assert_eq!(calling.await.unwrap().outcome, Outcome::Cancelled);
    peer.closed().await;

    let limit = Duration::from_millis(300);
    let payload = json!({"url": peer.url("/")});
    let ran = FakeContext::new().timeout(limit).run_type(&known(&[HERE]), "http", payload).await;
    assert_eq!(ran.outcome, Outcome::Timeout { limit });
    peer.closed().await;
}

#[tokio::test]
async fn a_private_address_is_not_connected_to() {
    let peer = Peer::start("127.0.0.1", &[text("200 OK", "", "secret")]).await;
    let port = peer.address.port();
    for host in ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "[::ffff:127.0.0.1]"] {
        let payload = json!({"url": format!("http://{host}:{port}/")});
        let ran = FakeContext::new().run_type(&known(&[]), "http", payload).await;
        assert!(ran.failure().message.contains("not public"), "{host}: {:?}", ran.failure());
        assert!(!ran.failure().retry);
    }
    assert!(peer.requests().is_empty());
    // Control: with its network allowed, the same URL is called.
    let ran = call(json!({"url": format!("http://2130706433:{port}/")})).await;
    assert_eq!(ran.result()["body"], "secret");
}

#[tokio::test]
async fn a_redirect_is_followed_only_if_allowed_and_checked_again() {
    let hidden = Peer::start("127.0.0.2", &[text("200 OK", "", "secret")]).await;
    let targets = [hidden.url("/"), "http://169.254.169.254/latest/meta-data/".into()];
    for target in targets {
        let location = format!("location: {target}\r\n");
        let peer = Peer::start("127.0.0.1", &[text("302 Found", &location, "")]).await;
        let ran = call(json!({"url": peer.url("/"), "redirects": 3})).await;
        assert!(ran.failure().message.contains("not public"), "{:?}", ran.failure());
    }
    assert!(hidden.requests().is_empty());

    let answers = [text("307 Moved", "location: /there\r\n", ""), text("200 OK", "", "done")];
    let peer = Peer::start("127.0.0.1", &answers).await;
    let refused = call(json!({"url": peer.url("/"), "body": "x"})).await;
    assert_eq!(
        refused.failure().message,
        "127.0.0.1 answered 307, one redirect more than the job allows"
    );
    let peer = Peer::start("127.0.0.1", &answers).await;
    let ran = call(json!({"url": peer.url("/"), "body": "x", "redirects": 1})).await;
    assert_eq!(ran.result()["body"], "done");
    assert!(
        peer.requests()[1].starts_with("POST /there ") && peer.requests()[1].ends_with("\r\n\r\nx")
    );
    let round = Peer::start("127.0.0.1", &[text("302 Found", "location: /\r\n", "")]).await;
    call(json!({"url": round.url("/"), "redirects": 250})).await.failure();
    assert_eq!(round.requests().len(), 6);
}

#[tokio::test]
async fn an_answer_that_echoes_the_secret_does_not_keep_it() {
    let secret = "correct-horse-battery".to_owned();
    let echo = format!("you sent {secret}");
    for status in ["200 OK", "500 Oops"] {
        let peer = Peer::start("127.0.0.1", &[text(status, "", &echo)]).await;
        let payload = json!({"url": peer.url("/"), "headers": {"authorization": secret}});
        let context = FakeContext::new().secrets(std::slice::from_ref(&secret));
        let ran = context.run_type(&known(&[HERE]), "http", payload).await;
        assert!(peer.requests()[0].contains(&secret), "it was sent");
        let kept = format!("{ran:?}");
        assert!(kept.contains("you sent [secret]") && !kept.contains("horse"), "{kept}");
    }
}

/// Wherever the cut at 1 KiB falls, and however the server writes the secret.
#[tokio::test]
async fn an_answer_is_cut_after_it_was_redacted() {
    let secret = "correct-horse-battery".to_owned();
    for (echo, part) in [
        (secret.clone(), "corr"),
        ("%63orrect%2Dhorse%2Dbattery".to_owned(), "%63or"),
        ("Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5".to_owned(), "Y29y"),
    ] {
        for before in [1024 - echo.len() - 1, 1024 - echo.len(), 1010, 1020, 1023, 1024] {
            // Secrets before it make the redacted text shorter than the answer.
            let body = format!("{secret}{}{echo} and more", "x".repeat(before - secret.len()));
            for status in ["200 OK", "500 Oops"] {
                let peer = Peer::start("127.0.0.1", &[text(status, "", &body)]).await;
                let payload = json!({"url": peer.url("/"), "headers": {"authorization": secret}});
                let context = FakeContext::new().secrets(std::slice::from_ref(&secret));
                let kept =
                    format!("{:?}", context.run_type(&known(&[HERE]), "http", payload).await);
                assert!(kept.contains("[secret]xxx"), "{kept}");
                assert!(!kept.contains(part) && kept.len() < 1500, "{before}: {kept}");
            }
        }
    }
}

#[tokio::test]
async fn the_host_of_a_secret_url_is_in_no_error() {
    // Nothing listens there; a name that does not resolve; one that leads to an internal address.
    for host in ["127.0.0.1:9", "hooks.secret-supplier.invalid", "localhost:9"] {
        let secret = format!("http://{host}/services/T0/B1?key=abcdef");
        let context = FakeContext::new().secrets(std::slice::from_ref(&secret));
        let allowed = if host.starts_with("127") { vec![HERE] } else { Vec::new() };
        let ran = context.run_type(&known(&allowed), "http", json!({"url": secret})).await;
        let kept = format!("{ran:?}");
        let name = host.split(':').next().unwrap();
        assert!(kept.contains("[secret]") || kept.contains("not public"), "{kept}");
        assert!(!kept.contains(name) && !kept.contains("services"), "{kept}");
    }
    let peer = Peer::start("127.0.0.1", &[text("500 Oops", "", "no")]).await;
    let secret = peer.url("/services/T0/B1?key=abcdef");
    let context = FakeContext::new().secrets(std::slice::from_ref(&secret));
    let ran = context.run_type(&known(&[HERE]), "http", json!({"url": secret})).await;
    assert_eq!(ran.failure().message, "[secret] answered 500");
}
