//! What the operating system says: processor time and memory of a process, the machine, its disk; and percentiles.

use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Clock ticks of /proc/PID/stat, as Linux fixes them for user space.
const TICKS_PER_SECOND: f64 = 100.0;
/// Syncs of the probe.
const PROBE_SYNCS: usize = 300;
/// Bytes of each write of the probe: one event.
const PROBE_BYTES: usize = 1200;
/// Between two looks at a process's memory.
const MEMORY_EVERY: Duration = Duration::from_millis(500);

/// User and system seconds of a process so far, its children left out.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(11).take(2);
    ticks.filter_map(|text| text.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// The one child of a process: the engine.
pub fn child_of(pid: u32) -> Option<u32> {
    let of = |id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let ids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.into_iter().find(|id| of(*id) == Some(pid))
}

/// Memory of a process, MB (10^6 bytes): resident, of it anonymous, and the highest ever resident.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub resident: f64,
    pub anonymous: f64,
    pub peak: f64,
}

impl Memory {
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            kib.unwrap_or_default() * 1024.0 / 1e6
        };
        Self { resident: field("VmRSS:"), anonymous: field("RssAnon:"), peak: field("VmHWM:") }
    }
}

/// Looks at a process's memory until told to stop.
pub struct MemorySeries {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Memory>>,
}

impl MemorySeries {
    pub fn start(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut series = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                series.push(Memory::of(pid));
                std::thread::sleep(MEMORY_EVERY);
            }
            series
        });
        Self { stop, thread }
    }

    pub fn finish(self) -> Vec<Memory> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Means of the anonymous memory in the second and in the last quarter of a series: equal when it is flat.
pub fn quarters(series: &[Memory]) -> (f64, f64) {
    let mean = |part: &[Memory]| part.iter().map(|m| m.anonymous).sum::<f64>() / part.len().max(1) as f64;
    let quarter = series.len() / 4;
    (mean(&series[quarter..2 * quarter]), mean(&series[series.len() - quarter..]))
}

/// Latencies and lags.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The given share of all is not above this; zero for none.
    pub fn at(&self, share: f64) -> Duration {
        let place = (self.0.len() as f64 * share) as usize;
        self.0.get(place.min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    pub fn to_json(&self) -> Value {
        let ms = |share| round(self.at(share).as_secs_f64() * 1e3, 3);
        json!({"count": self.0.len(), "p50_ms": ms(0.5), "p99_ms": ms(0.99), "p999_ms": ms(0.999), "max_ms": ms(1.0)})
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// How long a write of one event and its fdatasync take in this folder, one after another.
pub fn sync_probe(dir: &Path) -> Times {
    let path = dir.join("probe");
    let file = fs::File::create(&path).unwrap();
    let bytes = [1; PROBE_BYTES];
    file.write_all_at(&vec![0; PROBE_SYNCS * PROBE_BYTES], 0).unwrap();
    file.sync_data().unwrap();
    let times = (0..PROBE_SYNCS).map(|n| {
        let started = Instant::now();
        file.write_all_at(&bytes, (n * PROBE_BYTES) as u64).unwrap();
        file.sync_data().unwrap();
        started.elapsed()
    });
    let times = Times::new(times.collect());
    fs::remove_file(&path).unwrap();
    times
}

/// Load average over one minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|one| one.parse().ok()).unwrap_or(f64::NAN)
}

/// What the figures were measured on.
pub fn machine(dir: &Path) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "processor": model.unwrap_or("unknown"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_before": load(),
        "fdatasync": sync_probe(dir).to_json(),
    })
}
