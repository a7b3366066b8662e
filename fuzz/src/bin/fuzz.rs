//! libFuzzer's program: `MESHCORE_FUZZ=request fuzz corpus/request -max_total_time=60`.
#![no_main]
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    reason = "libFuzzer has the arguments, and a target that is not there cannot be run"
)]

use std::sync::OnceLock;

use meshcore_fuzz::{TARGETS, Target, mutate, target};

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("MESHCORE_FUZZ").unwrap_or_default();
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        let chosen = target(&name).unwrap_or_else(|| panic!("set MESHCORE_FUZZ to one of {names:?}"));
        CHOSEN.get_or_init(|| chosen);
    },
    |data: &[u8]| {
        if let Some(chosen) = CHOSEN.get() {
            (chosen.run)(data);
        }
    }
);

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let is_json = CHOSEN.get().is_some_and(|target| target.name == "mesh");
    let changed = is_json.then(|| mutate::json(data.get(..size)?, seed)).flatten();
    match changed.filter(|changed| changed.len() <= max_size) {
        Some(changed) => {
            let room = data.get_mut(..changed.len());
            room.map_or(size, |room| {
                room.copy_from_slice(&changed);
                changed.len()
            })
        }
        None => libfuzzer_sys::fuzzer_mutate(data, size, max_size),
    }
});
