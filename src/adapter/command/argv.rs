//! Arguments → argv, and the guard on arguments that name files.

use std::path::{Component, Path};

use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Arg, Arguments, Choice, Template, present};

/// The elements after the program's name. An element that begins with an argument cannot begin
/// with `-`, or it would be an option, unless the manifest ended the options with `--` before it.
pub(super) fn render(args: &[Arg], arguments: &Arguments) -> Result<Vec<String>> {
    let mut out = Argv::default();
    out.add(args, arguments)?;
    Ok(out.elements)
}

#[derive(Default)]
struct Argv {
    elements: Vec<String>,
    /// Whether the manifest wrote `--`, after which nothing is an option.
    options_ended: bool,
}

impl Argv {
    fn add(&mut self, args: &[Arg], arguments: &Arguments) -> Result<()> {
        for arg in args {
            match arg {
                Arg::One(template) => self.add_element(template, arguments)?,
                Arg::Group(templates) => {
                    let mut names = templates.iter().flat_map(Template::arguments);
                    if names.all(|(name, _)| present(arguments, name).is_some()) {
                        for template in templates {
                            self.add_element(template, arguments)?;
                        }
                    }
                }
                Arg::Choice(Choice { condition, then, otherwise }) => {
                    let chosen = !matches!(present(arguments, condition), None | Some(Value::Bool(false)));
                    self.add(if chosen { then } else { otherwise }, arguments)?;
                }
            }
        }
        Ok(())
    }

    fn add_element(&mut self, template: &Template, arguments: &Arguments) -> Result<()> {
        for element in template.render_each(arguments) {
            if template.begins_with_argument() && element.starts_with('-') && !self.options_ended {
                let name = template.arguments().next().map_or("", |(name, _)| name);
                let message = format!("`{name}` cannot begin with `-` here, because it would be read as an option");
                return Err(invalid(message));
            }
            if element.contains('\0') {
                return Err(invalid("an argument holds a NUL character, which no program can be given"));
            }
            self.elements.push(element);
        }
        self.options_ended |= template.literal() == Some("--");
        Ok(())
    }
}

/// Replaces each argument that names a file below `root` by `./…`, links resolved, so that it
/// cannot be an option either. One that leads out of `root` is refused.
pub(super) fn keep_below(root: &Path, names: &[String], arguments: &mut Arguments) -> Result<()> {
    for name in names {
        match arguments.get_mut(name) {
            Some(Value::String(path)) => *path = below(root, name, path)?,
            Some(Value::Array(paths)) => {
                for path in paths {
                    if let Value::String(path) = path {
                        *path = below(root, name, path)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn below(root: &Path, name: &str, path: &str) -> Result<String> {
    let outside = || invalid(format!("`{name}` leads out of the folder this tool may read"));
    // What lies outside is refused before it is looked at, so that nothing is learned about it.
    let mut depth = 0_usize;
    for component in Path::new(path).components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth = depth.checked_sub(1).ok_or_else(outside)?,
            Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    let missing = |error| invalid(format!("`{name}` names nothing in the folder this tool may read")).because(error);
    let found = root.join(path).canonicalize().map_err(missing)?;
    let inside = found.strip_prefix(root).map_err(|_| outside())?;
    let inside = inside.to_str().ok_or_else(|| invalid(format!("`{name}` is not written in UTF-8")))?;
    Ok(if inside.is_empty() { ".".into() } else { format!("./{inside}") })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArguments, message)
}
