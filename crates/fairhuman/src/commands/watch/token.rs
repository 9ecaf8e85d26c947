//! The secret that the page's address carries. It is the user's own and stays the same, so that a page in a
//! browser goes on when the server was started again.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::anyhow;

use crate::cache;

/// Letters of a token: 128 random bits.
const LETTERS: usize = 32;

/// The user's token, which is made once; a new one where there is no place to keep it.
pub fn of_user() -> anyhow::Result<String> {
    let Some(folder) = cache::folder() else { return random() };
    let path = folder.join("watch-token");
    if let Some(token) = fairhuman_files::read_to_string(&path).ok().filter(|token| is_token(token)) {
        return Ok(token);
    }
    let token = random()?;
    // Without a place it is good for this time.
    let _ = keep(&folder, &path, &token);
    Ok(token)
}

fn is_token(text: &str) -> bool {
    text.len() == LETTERS && text.chars().all(|c| c.is_ascii_hexdigit())
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0; LETTERS / 2];
    getrandom::fill(&mut bytes).map_err(|e| anyhow!("the system gives no random numbers: {e}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that nobody else may read.
fn keep(folder: &Path, path: &Path, token: &str) -> std::io::Result<()> {
    fairhuman_files::make_folder(folder)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(token.as_bytes())
}

/// True if two texts are the same, in a time that does not tell where they differ.
pub fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
