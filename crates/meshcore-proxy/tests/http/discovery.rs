//! Hosts that are asked for before the request goes on.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meshcore_proxy::discovery::{Discovered, Discovery};
use meshcore_testkit::{Answer, Application, Client, MeshBuilder, Sidecar};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::mesh_of;

/// A control plane that answers when it is told to, and knows what it was asked for.
#[derive(Debug)]
struct Asked {
    hosts: Mutex<Vec<String>>,
    answered: watch::Receiver<bool>,
    within: Duration,
}

impl Discovery for Asked {
    fn ask_host(&self, host: &str) -> Discovered {
        self.hosts.lock().push(host.to_owned());
        if *self.answered.borrow() {
            return Discovered::InForce;
        }
        let mut answered = self.answered.clone();
        let answer = async move {
            let _gone = answered.wait_for(|is_answered| *is_answered).await;
        };
        Discovered::Coming { answer: Box::pin(answer), within: self.within }
    }

    fn ask_peer(&self, _address: IpAddr) {}

    fn status(&self) -> Value {
        json!({"connected": true})
    }

    fn exposition(&self) -> Vec<u8> {
        b"meshcore_control_connected 1\n".to_vec()
    }
}

fn asking(within: Duration) -> (Sidecar, Arc<Asked>, watch::Sender<bool>) {
    let (answer, answered) = watch::channel(false);
    let asked = Arc::new(Asked { hosts: Mutex::default(), answered, within });
    let mesh = MeshBuilder::new().settings(json!({"outbound_policy": "registry_only"}));
    let discovery = Arc::clone(&asked) as Arc<dyn Discovery>;
    (Sidecar::of("web").outbound().mesh(&mesh).discovery(discovery).start(), asked, answer)
}

fn get(sidecar: &Sidecar) -> Answer {
    Client::connect(sidecar.outbound()).ask("GET / HTTP/1.1\r\nHost: APP:80\r\n\r\n")
}

fn wait_for(asked: &Asked, count: usize) {
    let until = Instant::now() + Duration::from_secs(10);
    while asked.hosts.lock().len() < count {
        assert!(Instant::now() < until, "{asked:?}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn a_request_waits_until_its_host_is_in_force() {
    let app = Application::echo("v1");
    let (sidecar, asked, answer) = asking(Duration::from_secs(20));
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| get(&sidecar).status())).collect();
        wait_for(&asked, 4);
        sidecar.apply(&mesh_of(&[app.address()]), 2);
        answer.send(true).unwrap();
        for call in calls {
            assert_eq!(call.join().unwrap(), 200);
        }
    });
    assert_eq!(get(&sidecar).status(), 200);
    assert_eq!(*asked.hosts.lock(), ["app"; 4], "what is known is not asked for");
}

#[test]
fn without_an_answer_in_time_the_snapshot_decides() {
    let (sidecar, asked, _answer) = asking(Duration::from_millis(50));
    assert_eq!(get(&sidecar).status(), 502);
    assert!(!asked.hosts.lock().is_empty());
    assert_eq!(sidecar.sum("meshcore_panics_total", &[]), 0);
}

#[test]
fn a_host_that_is_not_there_is_asked_for_a_few_times_at_most() {
    let (sidecar, asked, answer) = asking(Duration::from_secs(20));
    answer.send(true).unwrap();
    assert_eq!(get(&sidecar).status(), 502);
    assert!(asked.hosts.lock().len() <= 3);
}

#[test]
fn a_tunnel_waits_as_well() {
    let app = Application::echo("v1");
    let (sidecar, asked, answer) = asking(Duration::from_secs(20));
    let connect = "CONNECT app:80 HTTP/1.1\r\nHost: app:80\r\n\r\n";
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let mut client = Client::connect(sidecar.outbound());
            client.send(connect);
            String::from_utf8(client.read_until("\r\n")).unwrap()
        });
        wait_for(&asked, 1);
        sidecar.apply(&mesh_of(&[app.address()]), 2);
        answer.send(true).unwrap();
        assert!(call.join().unwrap().contains(" 200 "));
    });
}

#[test]
fn status_and_metrics_tell_of_the_control_plane() {
    let (sidecar, _asked, _answer) = asking(Duration::from_secs(1));
    let status: Value = sidecar.proxy().status().parse().unwrap();
    assert_eq!(status["control_plane"], json!({"connected": true}));
    let request = "GET /stats/prometheus HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let metrics = Client::connect(sidecar.admin()).ask(request).text();
    assert!(metrics.contains("meshcore_control_connected 1\n"), "{metrics}");
}
