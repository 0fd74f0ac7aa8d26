//! The templates: the shipped ones, and the caller's replacements.

use std::collections::BTreeMap;

use handlebars::{Handlebars, no_escape};
use serde::Serialize;

use super::{Format, RenderError};

/// The file name and the text of every shipped template.
const SHIPPED: [(&str, &str); 9] = [
    ("text.hbs", include_str!("templates/text.hbs")),
    ("text-end.hbs", include_str!("templates/text-end.hbs")),
    ("markdown.hbs", include_str!("templates/markdown.hbs")),
    ("shell.hbs", include_str!("templates/shell.hbs")),
    ("shell-step.hbs", include_str!("templates/shell-step.hbs")),
    ("shell-end.hbs", include_str!("templates/shell-end.hbs")),
    ("shell-northbound.hbs", include_str!("templates/shell-northbound.hbs")),
    ("dot.hbs", include_str!("templates/dot.hbs")),
    ("mermaid.hbs", include_str!("templates/mermaid.hbs")),
];

/// Returns the file name and the text of every shipped template.
pub fn templates() -> &'static [(&'static str, &'static str)] {
    &SHIPPED
}

/// Templates, ready to be filled.
pub(super) struct Templates {
    registry: Handlebars<'static>,
}

impl Templates {
    /// Compiles the templates of a form, with some of them replaced. A replacement is compiled in any case: its errors are told by
    /// the next rendering, whatever the form is.
    pub(super) fn new(format: Format, replaced: &BTreeMap<String, String>) -> Result<Self, RenderError> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        // Each form has its own rules of quoting: the contexts hold text that is quoted already.
        registry.register_escape_fn(no_escape);
        let form = format.name();
        for (name, shipped) in SHIPPED {
            let is_of_form = name.strip_prefix(form).is_some_and(|rest| rest.starts_with(['.', '-']));
            if !is_of_form && !replaced.contains_key(name) {
                continue;
            }
            let text = replaced.get(name).map_or(shipped, String::as_str);
            registry
                .register_template_string(name, text)
                .map_err(|error| RenderError::Template { name: name.to_owned(), cause: error.to_string() })?;
        }
        Ok(Templates { registry })
    }

    /// Fills a template.
    pub(super) fn fill(&self, name: &str, context: &impl Serialize) -> Result<String, RenderError> {
        self.registry
            .render(name, context)
            .map_err(|error| RenderError::Template { name: name.to_owned(), cause: error.to_string() })
    }
}
