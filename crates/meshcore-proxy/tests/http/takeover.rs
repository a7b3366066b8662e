//! Another data plane takes the listening sockets over.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meshcore_proxy::StartError;
use meshcore_testkit::{Application, Client, Gate, Scripted, Sidecar, SidecarBuilder, Step, ask};

use crate::{get, mesh_of};

fn builder(app: &Application, workers: usize) -> SidecarBuilder {
    Sidecar::of("web").outbound().mesh(&mesh_of(&[app.address()])).workers(workers)
}

fn asked(sidecar: &Sidecar) -> u64 {
    sidecar.sum("istio_requests_total", &[])
}

fn close() -> String {
    get("/").replace("Host", "Connection: close\r\nHost")
}

#[test]
fn whoever_takes_over_takes_every_connection_from_then_on() {
    let app = Application::echo("v1");
    let first = builder(&app, 2).start();
    let second = builder(&app, 2).take_over(&first).start();
    assert_eq!(second.outbound(), first.outbound());
    assert_eq!(second.admin(), first.admin());
    first.proxy().hand_over();
    first.wait_until_ended();
    for _ in 0..20 {
        assert_eq!(ask(second.outbound(), close()).status(), 200);
    }
    second.series("istio_requests_total", &[("response_code", "200")], 20);
    assert_eq!(asked(&first), 0);
}

#[test]
fn fewer_workers_take_all_sockets_with_what_waits_in_them() {
    let app = Application::echo("v1");
    for (before, after) in [(4, 1), (1, 4), (3, 2)] {
        let first = builder(&app, before).start();
        let address = first.outbound();
        let mut clients: Vec<_> = (0..64).map(|_| Client::connect(address)).collect();
        let second = builder(&app, after).take_over(&first).start();
        let mut late: Vec<_> = (0..64).map(|_| Client::connect(address)).collect();
        first.proxy().hand_over();
        for client in clients.iter_mut().chain(&mut late) {
            assert_eq!(client.ask(get("/")).status(), 200, "{before} to {after}");
        }
        let mut last: Vec<_> = (0..64).map(|_| Client::connect(address)).collect();
        drop(clients);
        drop(late);
        first.wait_until_ended();
        drop(first);
        for client in &mut last {
            assert_eq!(client.ask(get("/")).status(), 200, "{before} to {after}");
        }
        second.proxy().drain();
        drop(last);
        second.wait_until_ended();
        TcpStream::connect(address).unwrap_err();
    }
}

#[test]
fn what_was_begun_before_ends_while_pages_are_the_others() {
    let gate = Gate::default();
    let script = vec![Step::head(), Step::Wait(gate.clone()), Step::answer(200, "late")];
    let upstream = Scripted::start([script]);
    let mesh = mesh_of(&[upstream.address()]);
    let first = Sidecar::of("web").outbound().mesh(&mesh).drain(Duration::from_hours(1)).start();
    let mut page = Client::connect(first.admin());
    let ready = "GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(page.ask(ready).status(), 200);
    let mut busy = Client::connect(first.outbound());
    busy.send(get("/"));
    upstream.wait_for(0, "\r\n\r\n");
    let second = Sidecar::of("web").outbound().mesh(&mesh).take_over(&first).start();
    first.proxy().hand_over();
    assert!(page.is_closed(), "a kept connection would be told of the process that drains");
    for _ in 0..20 {
        let answer = ask(second.admin(), ready.replace("Host", "Connection: close\r\nHost"));
        assert_eq!((answer.status(), answer.text().as_str()), (200, "ready\n"));
    }
    assert!(!first.proxy().has_ended());
    gate.open();
    assert_eq!(busy.answer().text(), "late");
    drop(busy);
    first.wait_until_ended();
}

#[test]
fn a_socket_that_would_have_nobody_is_refused_and_the_first_goes_on() {
    let app = Application::echo("v1");
    let first = builder(&app, 1).start();
    let only_admin = Sidecar::of("web").take_over(&first).try_start().unwrap_err();
    assert!(only_admin.to_string().contains("outbound listener at 127.0.0.1:"), "{only_admin}");
    let elsewhere = Sidecar::of("web").listen("outbound", "127.0.0.2:0").take_over(&first);
    let elsewhere = elsewhere.try_start().unwrap_err();
    assert!(matches!(elsewhere, StartError::Moved { wanted: Some(_), .. }), "{elsewhere}");
    assert_eq!(ask(first.outbound(), close()).status(), 200);
}

#[test]
fn there_is_nothing_to_take_once_it_drains() {
    let app = Application::echo("v1");
    let sidecar = builder(&app, 1).start();
    assert_eq!(sidecar.proxy().sockets().unwrap().len(), 2);
    sidecar.proxy().drain();
    assert!(sidecar.proxy().sockets().unwrap().is_empty());
}

/// Some connections are between a listener and their task when the drain begins.
#[test]
fn no_new_connection_is_lost_in_many_takeovers() {
    let app = Application::echo("v1");
    let mut current = builder(&app, 2).start();
    let address = current.outbound();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(ask(address, close()).status(), 200);
                }
            });
        }
        for _ in 0..100 {
            let next = builder(&app, 2).take_over(&current).start();
            current.proxy().hand_over();
            current.wait_until_ended();
            current = next;
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
