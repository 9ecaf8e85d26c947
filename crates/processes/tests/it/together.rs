//! Groups of threads of this process, which meet over TCP as processes do.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use fairhuman_processes::{Interface, Launch, Launcher, Processes, Settings};

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    // Two tests at a time must not be given the same one.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    loop {
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + ((std::process::id() as usize * 131 + turn * 7) % 12_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A process of a group that meets at a port.
pub fn launch(rank: usize, size: usize, port: u16) -> Launch {
    let (launcher, interface) = (Launcher::Options, Interface::OpenMpi);
    let master = Some(format!("127.0.0.1:{port}").parse().unwrap());
    Launch { rank, size, local_rank: None, launcher, interface, master, secret: "secret".into() }
}

/// Lines that process 0 told.
pub type Told = Arc<Mutex<Vec<String>>>;

/// Settings of a patient process, and the lines that it tells.
pub fn settings() -> (Settings, Told) {
    let (told, begin) = (Told::default(), Instant::now());
    let lines = told.clone();
    let settings = Settings {
        host: "here".into(),
        machine: "this".into(),
        program: [1; 32],
        random: [2; 32],
        clock: Arc::new(move || begin.elapsed().as_secs_f64()),
        tell: Arc::new(move |line| lines.lock().unwrap().push(line.to_owned())),
        patience: 30.0,
        missed_after: 20.0,
        told_after: 20.0,
        mpi: None,
    };
    (settings, told)
}

/// Runs `work` in a thread for each rank; the results in the order of the ranks.
pub fn run<T: Send>(size: usize, work: impl Fn(Processes) -> T + Sync) -> Vec<T> {
    let port = free_port();
    std::thread::scope(|scope| {
        let work = &work;
        let join = |rank| Processes::join(&launch(rank, size, port), &settings().0).unwrap();
        let ranks: Vec<_> = (0..size).map(|rank| scope.spawn(move || work(join(rank)))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}
