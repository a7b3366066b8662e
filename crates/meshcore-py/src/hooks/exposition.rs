//! What was counted of hooks, beside what the data plane counts itself.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::PyHooks;
use super::entry::Entry;
use super::process::Shared;
use super::table::processes_of;

/// Name, help, and the value of one hook.
type HookFamily = (&'static str, &'static str, fn(&Entry, u64) -> u64);

const OF_HOOKS: [HookFamily; 12] = [
    ("inline_calls_total", "Calls on a worker.", |e, _| value(&e.counts.inline)),
    ("queued_calls_total", "Calls on a policy thread.", |e, _| value(&e.counts.queued)),
    ("awaited_calls_total", "Calls on the event loop.", |e, _| value(&e.counts.awaited)),
    ("outside_calls_total", "Calls in the plugin's process.", |e, _| value(&e.counts.outside)),
    ("failures_total", "Calls that gave no decision.", |e, _| value(&e.counts.failures)),
    ("late_total", "Calls that ended after their limit.", |e, _| value(&e.counts.late)),
    ("overloads_total", "Calls that found the queue full.", |e, _| value(&e.counts.overloads)),
    ("broken_total", "Calls not made after many failures.", |e, _| value(&e.counts.broken)),
    ("breaks_total", "Times that calls were stopped.", |e, _| e.breaker.openings()),
    ("interrupts_total", "Calls interrupted from outside.", |e, _| value(&e.counts.interrupts)),
    ("busy_microseconds_total", "Time spent in it.", |e, _| value(&e.counts.busy_ns) / 1_000),
    ("demoted", "Whether it is too slow for workers.", |e, now_ns| {
        u64::from(e.pace.is_demoted(now_ns))
    }),
];

/// Name, help, and the value of one process.
type ProcessFamily = (&'static str, &'static str, fn(&Shared) -> u64);

const OF_PROCESSES: [ProcessFamily; 4] = [
    ("up", "Whether it takes calls.", |p| u64::from(p.is_up())),
    ("failures_total", "Times it ended or had to be ended.", |p| value(&p.counts.faults)),
    ("restarts_total", "Times it was started again.", |p| value(&p.counts.restarts)),
    ("resident_bytes", "Memory it takes.", |p| value(&p.counts.resident_bytes)),
];

/// Prometheus' text; nothing when there are no hooks.
pub(crate) fn text(host: &PyHooks) -> Vec<u8> {
    let (entries, now_ns) = (host.table.in_force(), host.now_ns());
    let mut text = String::new();
    if entries.is_empty() {
        return Vec::new();
    }
    for (name, help, read) in OF_HOOKS {
        head(&mut text, &format!("hook_{name}"), help);
        for entry in &entries {
            one(
                &mut text,
                &format!("hook_{name}{{hook=\"{}\"}}", entry.hook.name),
                read(entry, now_ns),
            );
        }
    }
    let processes = processes_of(&entries);
    for (name, help, read) in OF_PROCESSES {
        if processes.is_empty() {
            break;
        }
        head(&mut text, &format!("plugin_process_{name}"), help);
        for process in processes.iter().map(|process| process.shared()) {
            let name = format!("plugin_process_{name}{{plugin=\"{}\"}}", process.name);
            one(&mut text, &name, read(process));
        }
    }
    let of_host = [
        ("interpreter_gate_misses_total", "Calls that found us inside.", value(&host.gate_misses)),
        ("interpreter_closings_total", "Times workers kept out of it.", host.pressure.closings()),
        ("telemetry_dropped_total", "Records that hooks did not get.", host.desk.dropped()),
    ];
    for (name, help, value) in of_host {
        head(&mut text, name, help);
        one(&mut text, name, value);
    }
    text.into_bytes()
}

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn head(text: &mut String, name: &str, help: &str) {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    // Writing to a text does not fail.
    let _ = writeln!(text, "# HELP meshcore_{name} {help}\n# TYPE meshcore_{name} {kind}");
}

fn one(text: &mut String, name: &str, value: u64) {
    let _ = writeln!(text, "meshcore_{name} {value}");
}
