//! `midoform import`: writes a spec for a router and its bridges, whoever created them.

use crate::args::ImportOptions;
use crate::error::{CommandError, Exit};
use crate::takeover::{Manner, imported, take_over};
use crate::ui::Ui;

pub(crate) async fn run(ui: &Ui, options: &ImportOptions) -> Result<Exit, CommandError> {
    let manner = Manner {
        command: "midoform import",
        into: &options.into,
        out: options.out.as_ref(),
        bind: !options.no_bind,
        strict: false,
        pending: true,
    };
    take_over(ui, &manner, &|survey| imported(survey, options)).await
}
