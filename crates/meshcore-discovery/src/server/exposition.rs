//! The server's metrics in Prometheus' text format. Names are Istio's where the meaning is.

use std::fmt::{Display, Write as _};

use meshcore_model::Resource;

use super::Server;
use super::counts::BOUNDS;
use super::state::State;
use crate::world::Look;

impl Server {
    /// All metrics as text.
    pub fn metrics(&self) -> Vec<u8> {
        let state = self.state.lock();
        let mut text = Text(String::new());
        of_streams(&mut text, &state);
        of_mesh(&mut text, &state);
        of_registry(&mut text, &state);
        text.0.into_bytes()
    }
}

fn of_streams(text: &mut Text, state: &State) {
    let counts = &state.counts;
    text.gauge("pilot_xds", "Clients that are connected.", state.clients.len());
    text.family("pilot_xds_pushes", "Responses sent.", "counter");
    text.sample("pilot_xds_pushes{type=\"delta\"}", counts.pushes);
    text.counter("pilot_total_xds_rejects", "Answers that refuse something.", counts.rejects);
    text.counter("pilot_xds_write_timeout", "Clients that did not read.", counts.slow);
    text.counter("meshcore_control_streams_total", "Streams that began.", counts.streams);
    let unawaited = "Answers to responses that are not waited for.";
    text.counter("meshcore_control_stale_answers_total", unawaited, counts.stale_answers);
    let ended = "meshcore_control_streams_ended_total";
    text.family(ended, "Streams ended with an error.", "counter");
    for (code, count) in &counts.ended {
        text.sample(format_args!("{ended}{{code=\"{code}\"}}"), count);
    }
    let current = state.clients.values().filter(|client| client.is_current()).count();
    let told = "Clients that have acknowledged all that holds.";
    text.gauge("meshcore_control_clients_current", told, current);
    let refused: usize = state.clients.values().map(|client| client.refused.len()).sum();
    text.gauge("meshcore_control_refused_resources", "Resources that clients refuse.", refused);
    let time = "pilot_proxy_convergence_time";
    text.family(time, "Seconds from a change to its acknowledgement.", "histogram");
    let mut so_far = 0_u64;
    let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    for (bound, count) in bounds.zip(counts.converged) {
        so_far = so_far.saturating_add(count);
        text.sample(format_args!("{time}_bucket{{le=\"{bound}\"}}"), so_far);
    }
    text.sample(format_args!("{time}_sum"), counts.converged_sum);
    text.sample(format_args!("{time}_count"), so_far);
}

fn of_mesh(text: &mut Text, state: &State) {
    let all = state.world.at(&Look::Everything);
    let is_service = |(_, resource): &(_, &Resource)| matches!(resource, Resource::Service(_));
    text.gauge("pilot_services", "Services.", all.filter(is_service).count());
    let resources = "Resources that hold.";
    text.gauge("meshcore_control_resources", resources, state.world.all().count());
    let answers = "Different questions that clients are subscribed to.";
    text.gauge("meshcore_control_answers", answers, state.answers.len());
    let revision = state.revision.unwrap_or_default();
    text.gauge("meshcore_control_revision", "Revision that holds.", revision);
}

fn of_registry(text: &mut Text, state: &State) {
    let name = "meshcore_control_workloads";
    text.family(name, "Workloads that registered.", "gauge");
    let mut numbers = [0_u64; 3];
    for (_, entry) in state.registry.all() {
        let place = match (entry.stream, entry.registration.is_healthy) {
            (None, _) => 2,
            (Some(_), false) => 1,
            (Some(_), true) => 0,
        };
        if let Some(number) = numbers.get_mut(place) {
            *number = number.saturating_add(1);
        }
    }
    for (kind, number) in ["healthy", "unhealthy", "gone"].into_iter().zip(numbers) {
        text.sample(format_args!("{name}{{state=\"{kind}\"}}"), number);
    }
    let counts = &state.counts;
    let registered = "Workloads that registered since the start.";
    text.counter("meshcore_control_registrations_total", registered, counts.registrations);
    let unwritten = "Writes of the registry that failed.";
    text.counter("meshcore_control_registry_failures_total", unwritten, counts.unwritten);
    let holding = "Whether workloads that are gone are held, because most are.";
    text.gauge("meshcore_control_holding", holding, u8::from(state.registry.is_holding()));
}

struct Text(String);

impl Text {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, help, "counter");
        self.sample(name, value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help, "gauge");
        self.sample(name, value);
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) {
        // A text takes whatever is written to it.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, series: impl Display, value: impl Display) {
        let _ = writeln!(self.0, "{series} {value}");
    }
}
