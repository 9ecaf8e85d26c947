//! `fairhuman watch`: a page that follows runs, on this machine alone.

mod dataset;
mod few;
mod follow;
mod request;
mod site;
mod token;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};

use super::runs::ensure_run;
use crate::cli::Watch;
use crate::interrupt::{self, INTERRUPTED};
pub use dataset::Dataset;
use few::Few;
use site::Site;

/// The port that is tried first where none is asked for, and how many after it.
const PORT: u16 = 7862;
const PORTS: u16 = 20;
/// Connections at a time that have not shown the token yet. A browser shows it at once.
const STRANGERS: usize = 64;
/// Time between looks for a new connection.
const PAUSE: Duration = Duration::from_millis(20);

/// Serves the page until it is interrupted.
pub fn run(options: &Watch) -> anyhow::Result<ExitCode> {
    if !options.name.is_empty() && options.name.len() != options.runs.len() {
        let (runs, names) = (options.runs.len(), options.name.len());
        bail!("runs: {runs}, --name: {names}; give a name for each run, or none");
    }
    options.runs.iter().try_for_each(|run| ensure_run(run))?;
    let stop = interrupt::flag_that_says("no longer watching");
    let server =
        Server::open(options.port, |port, token| Site::new(&options.runs, &options.name, port, token))?;
    outln!("{}", server.address());
    errln!("open it in a browser; Ctrl-C ends the page, and not the runs");
    server.serve(&stop)?;
    Ok(ExitCode::from(INTERRUPTED))
}

/// Serves the page of a dataset, where it is changed by hand, until it is interrupted.
pub fn edit(dataset: Dataset, port: Option<u16>) -> anyhow::Result<ExitCode> {
    let stop = interrupt::flag_that_says("no longer serving");
    let server = Server::open(port, |port, token| Site::of_dataset(dataset, port, token))?;
    outln!("{}", server.address());
    errln!("open it in a browser; Ctrl-C ends the page");
    server.serve(&stop)?;
    Ok(ExitCode::from(INTERRUPTED))
}

/// Serves the page of one run for as long as this process lasts, and says where it is.
///
/// # Errors
/// No port that is free.
pub fn beside(run: PathBuf, port: Option<u16>) -> anyhow::Result<()> {
    let server = Server::open(port, |port, token| Site::new(&[run], &[], port, token))?;
    errln!("{}", server.address());
    std::thread::spawn(move || server.serve(&AtomicBool::new(false)));
    Ok(())
}

/// A page and its port.
struct Server {
    listener: TcpListener,
    site: Arc<Site>,
}

impl Server {
    /// Opens the port, and gives it to the page with the user's token.
    fn open(port: Option<u16>, site: impl FnOnce(u16, String) -> Site) -> anyhow::Result<Self> {
        let listener = listen(port)?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let site = Arc::new(site(port, token::of_user()?));
        Ok(Self { listener, site })
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.site.port, self.site.token)
    }

    /// Answers until it is told to stop, each connection in a thread of its own.
    fn serve(&self, stop: &AtomicBool) -> anyhow::Result<()> {
        let strangers = Few::new(STRANGERS);
        while !stop.load(Ordering::SeqCst) {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                // None has come, or it was given up before it was accepted, which is nobody's loss.
                Err(_) => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            // A connection for which the system has no handle or thread left is closed; its browser comes
            // again.
            let Ok(stranger) = strangers.add(&stream) else { continue };
            let site = self.site.clone();
            // Who is gone is not told.
            let _ = std::thread::Builder::new().spawn(move || drop(site.answer(stream, stranger)));
        }
        Ok(())
    }
}

/// A port of the loopback interface: the one that is asked for, or the first free one of a few.
fn listen(port: Option<u16>) -> anyhow::Result<TcpListener> {
    let bind = |port: u16| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    match port {
        Some(port) => bind(port).with_context(|| format!("--port {port}")),
        None => (PORT..PORT + PORTS).find_map(|port| bind(port).ok()).with_context(|| {
            format!("no port from {PORT} to {} is free: name one with --port", PORT + PORTS - 1)
        }),
    }
}
