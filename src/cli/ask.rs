//! What a person types or a file holds and nobody else may see: passwords, keys, values of secrets.
//!
//! It comes from the terminal without an echo, from a file, or from the standard input: never from the command line.

use std::io::{BufRead, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{CliError, CliResult};
use crate::mask::SecretText;

/// More than the largest value of a secret, which has 64 KiB.
const BYTES_MAX: u64 = 1 << 20;

/// A password: the first line of a file, or what is typed.
pub fn password(of: &str, file: Option<&Path>) -> CliResult<SecretText> {
    match file {
        Some(file) => first_line(file),
        None => typed(&format!("Password of {of}: ")),
    }
}

/// The first line of a file.
pub fn first_line(file: &Path) -> CliResult<SecretText> {
    let text = read(file)?;
    let line = text.reveal().lines().next().unwrap_or_default().trim().to_owned();
    if line.is_empty() {
        return Err(CliError::Failed(format!("{} is empty", file.display())));
    }
    Ok(line.into())
}

/// The value of a secret: what is typed, or a file; `-` is the standard input.
pub fn value(of: &str, file: Option<&Path>) -> CliResult<SecretText> {
    match file {
        Some(file) => Ok(without_line_end(&read(file)?)),
        None => typed(&format!("Value of {of}: ")),
    }
}

/// `echo value |` adds the end of a line, which is no part of the value. Of several lines the last ends like the others.
fn without_line_end(text: &SecretText) -> SecretText {
    let value = text.reveal();
    let line = value.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    line.filter(|line| !line.contains('\n')).unwrap_or(value).to_owned().into()
}

/// A name, which may be seen.
pub fn name() -> CliResult<String> {
    eprint!("Name: ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .take(1000)
        .read_line(&mut line)
        .map_err(|error| CliError::local("read the name", error))?;
    match line.trim() {
        "" => Err(CliError::Usage(
            "say who you are: --name NAME, or --key-file FILE with an API key".to_owned(),
        )),
        name => Ok(name.to_owned()),
    }
}

fn typed(prompt: &str) -> CliResult<SecretText> {
    let typed = rpassword::prompt_password(prompt);
    typed.map(SecretText::from).map_err(|error| {
        CliError::Usage(format!(
            "there is no terminal to ask at ({error}); name a file that holds it, see --help"
        ))
    })
}

fn read(file: &Path) -> CliResult<SecretText> {
    let failed = |error: std::io::Error| CliError::local(format!("read {}", file.display()), error);
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text))
    };
    // What was read is wiped with the value, also if it is refused.
    let text = SecretText::from(text);
    match read.map_err(failed)? {
        size if size as u64 > BYTES_MAX => Err(failed(std::io::Error::other("it is larger than 1 MiB"))),
        _ => Ok(text),
    }
}

/// A new file for a key that is shown once. It is made first, since a key that cannot be written down would be lost, and
/// removed if none comes.
#[derive(Debug)]
pub struct NewKeyFile {
    path: PathBuf,
    file: std::fs::File,
    is_kept: bool,
}

impl NewKeyFile {
    /// Makes the file, which must not be there, of mode 0600.
    pub fn create(path: &Path) -> CliResult<Self> {
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file =
            made.map_err(|error| CliError::local(format!("make the key's file {}", path.display()), error))?;
        Ok(Self { path: path.to_owned(), file, is_kept: false })
    }

    /// Writes the key.
    pub fn keep(mut self, key: &SecretText) -> CliResult<()> {
        self.is_kept = true;
        writeln!(self.file, "{}", key.reveal())
            .and_then(|()| self.file.sync_all())
            .map_err(|error| CliError::local(format!("write the key to {}", self.path.display()), error))
    }
}

impl Drop for NewKeyFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // It is empty and ours; what matters is why there is no key.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_single_line_is_no_part_of_a_value() {
        let value = |text: &str| without_line_end(&text.to_owned().into()).reveal().to_owned();
        assert_eq!(value("one\n"), "one");
        assert_eq!(value("one\r\n"), "one");
        assert_eq!(value("one"), "one");
        assert_eq!(value("-----BEGIN\nabc\n-----END\n"), "-----BEGIN\nabc\n-----END\n");
    }

    #[test]
    fn a_key_file_is_there_only_if_there_is_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        drop(NewKeyFile::create(&path).unwrap());
        assert!(!path.exists());
        NewKeyFile::create(&path).unwrap().keep(&"key".to_owned().into()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "key\n");
        assert!(NewKeyFile::create(&path).is_err(), "a key that is there is not overwritten");
        assert!(path.exists());
    }
}
