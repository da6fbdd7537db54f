//! stub
use crate::ui::Ui;
use anyhow::Result;
pub(super) async fn showcase(_ui: Ui, _json: bool) -> Result<bool> {
    anyhow::bail!("x")
}
