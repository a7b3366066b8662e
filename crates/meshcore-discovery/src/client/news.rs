//! What people and programs are told of a client.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use super::held::Refusal;

/// Lines that wait for somebody who reads them.
const MAX_NOTICES: usize = 64;
/// Refusals that are remembered.
const MAX_REFUSALS: usize = 32;

/// How it is, and what happened since somebody looked.
#[derive(Debug)]
pub struct News {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    status: Status,
    notices: VecDeque<Notice>,
    /// Whether what is held has what a sidecar begins with.
    has_self: Option<Origin>,
    is_stopped: bool,
    last_error: String,
}

/// Where what is held comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The control plane, now.
    ControlPlane,
    /// The control plane, in an earlier life of the sidecar.
    Disk,
}

/// How a client fares.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The control plane.
    pub address: String,
    /// Whether it answers.
    pub connected: bool,
    /// Since when it does, or does not; seconds since 1970.
    pub since: u64,
    /// When it was last heard; seconds since 1970, 0 if it never was.
    pub last_contact: u64,
    /// Why it does not answer; empty if it does.
    pub error: String,
    /// Its revision that is in force here.
    pub revision: String,
    /// Resources that are held.
    pub resources: usize,
    /// Hosts and addresses that are asked for, and how many of them there are.
    pub asked: usize,
    /// See `asked`.
    pub found: usize,
    /// Changes that were put in force.
    pub applied: u64,
    /// Resources that were refused, the newest last.
    pub refusals: VecDeque<Refusal>,
    /// Resources that were refused, in all.
    pub refused: u64,
    /// Responses that could not be used.
    pub nonsense: u64,
}

/// A line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether something is wrong.
    pub is_bad: bool,
    /// The line.
    pub text: String,
}

impl News {
    pub(super) fn new(address: String) -> Self {
        let status = Status {
            address,
            connected: false,
            since: now(),
            last_contact: 0,
            error: "not connected yet".to_owned(),
            revision: String::new(),
            resources: 0,
            asked: 0,
            found: 0,
            applied: 0,
            refusals: VecDeque::new(),
            refused: 0,
            nonsense: 0,
        };
        let state = State {
            status,
            notices: VecDeque::new(),
            has_self: None,
            is_stopped: false,
            last_error: String::new(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.state.lock().status.clone()
    }

    /// Whether the control plane answers, or did a moment ago.
    pub fn is_connected(&self, moment: Duration) -> bool {
        let state = self.state.lock();
        let age = now().saturating_sub(state.status.since);
        state.status.connected || age <= moment.as_secs()
    }

    /// What happened since the last call.
    pub fn take_notices(&self) -> Vec<Notice> {
        self.state.lock().notices.drain(..).collect()
    }

    /// All metrics in Prometheus' text format.
    pub fn exposition(&self) -> Vec<u8> {
        let status = self.status();
        let mut out = String::new();
        for (name, kind, help, value) in [
            (
                "meshcore_control_connected",
                "gauge",
                "1 while the control plane answers",
                u64::from(status.connected),
            ),
            (
                "meshcore_control_last_contact_timestamp_seconds",
                "gauge",
                "When the control plane was last heard, in seconds since 1970",
                status.last_contact,
            ),
            (
                "meshcore_control_hosts",
                "gauge",
                "Hosts and addresses that are asked for",
                status.asked as u64,
            ),
            (
                "meshcore_control_changes_applied_total",
                "counter",
                "Changes of the control plane that were put in force",
                status.applied,
            ),
            (
                "meshcore_control_resources_refused_total",
                "counter",
                "Resources of the control plane that were refused",
                status.refused,
            ),
            (
                "meshcore_control_nonsense_total",
                "counter",
                "Responses of the control plane that could not be used",
                status.nonsense,
            ),
        ] {
            let lines =
                ["# HELP ", name, " ", help, ".\n# TYPE ", name, " ", kind, "\n", name, " "];
            out.extend(lines);
            out.push_str(&value.to_string());
            out.push('\n');
        }
        out.into_bytes()
    }

    pub(super) fn wait_for_self(&self, until: Option<Instant>) -> Option<Origin> {
        let mut state = self.state.lock();
        while state.has_self != Some(Origin::ControlPlane) && !state.is_stopped {
            let Some(until) = until else {
                self.changed.wait(&mut state);
                continue;
            };
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.has_self
    }

    pub(super) fn has_self(&self, from: Origin) {
        self.state.lock().has_self = Some(from);
        self.changed.notify_all();
    }

    pub(super) fn stopped(&self) {
        let mut state = self.state.lock();
        (state.is_stopped, state.status.connected, state.status.since) = (true, false, 0);
        drop(state);
        self.changed.notify_all();
    }

    /// The control plane has said something.
    pub(super) fn heard(&self) {
        let mut state = self.state.lock();
        if state.status.connected {
            state.status.last_contact = now();
            return;
        }
        state.status.connected = true;
        (state.status.since, state.status.last_contact) = (now(), now());
        state.status.error.clear();
        state.last_error.clear();
        let text = format!("connected to the control plane {}", state.status.address);
        state.notice(false, text);
    }

    /// The control plane does not answer. The same again is no news.
    pub(super) fn lost(&self, why: String, has_state: bool) {
        let mut state = self.state.lock();
        if state.status.connected {
            (state.status.since, state.status.last_contact) = (now(), now());
        }
        state.status.connected = false;
        if state.last_error != why {
            let goes_on = match (has_state, state.status.revision.as_str()) {
                (false, _) => "trying again".to_owned(),
                (true, "") => "going on with what is in force".to_owned(),
                (true, revision) => format!("going on with revision {revision}"),
            };
            let address = &state.status.address;
            let text = format!("no control plane at {address}: {why}; {goes_on}");
            state.notice(true, text);
        }
        state.last_error.clone_from(&why);
        state.status.error = why;
    }

    pub(super) fn nonsense(&self) {
        let mut state = self.state.lock();
        state.status.nonsense = state.status.nonsense.saturating_add(1);
    }

    pub(super) fn holds(&self, revision: &str, resources: usize, keys: (usize, usize)) {
        let mut state = self.state.lock();
        revision.clone_into(&mut state.status.revision);
        state.status.resources = resources;
        (state.status.asked, state.status.found) = keys;
    }

    pub(super) fn applied(&self, refusals: &[Refusal]) {
        let mut state = self.state.lock();
        state.status.applied = state.status.applied.saturating_add(1);
        state.status.refused = state.status.refused.saturating_add(refusals.len() as u64);
        for refusal in refusals {
            let Refusal { name, reason } = refusal;
            state.notice(true, format!("{name} refused, what was in force stays: {reason}"));
            let known = &mut state.status.refusals;
            known.retain(|one| one.name != *name);
            if known.len() >= MAX_REFUSALS {
                known.pop_front();
            }
            known.push_back(refusal.clone());
        }
    }

    /// Resources are in force, or gone: what was refused of them before is no news any more.
    pub(super) fn mended(&self, is_mended: impl Fn(&str) -> bool) {
        self.state.lock().status.refusals.retain(|refusal| !is_mended(&refusal.name));
    }

    pub(super) fn notice(&self, is_bad: bool, text: String) {
        self.state.lock().notice(is_bad, text);
    }
}

impl State {
    fn notice(&mut self, is_bad: bool, text: String) {
        if self.notices.len() < MAX_NOTICES {
            self.notices.push_back(Notice { is_bad, text });
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
