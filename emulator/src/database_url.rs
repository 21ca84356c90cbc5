//! URLs of Postgres databases, built from their parts.

use reqwest::Url;

/// The role and the database used if no other is named.
pub(crate) const USUAL_NAME: &str = "market";

/// The URL of a database on `server`, a host with or without a port; `None` if `server` is neither.
/// Names and password may contain any characters: those that have a meaning in URLs are
/// escaped.
pub(crate) fn url_at(
    server: &str,
    role: &str,
    password: Option<&str>,
    database: &str,
) -> Option<Url> {
    let mut url = Url::parse(&format!("postgres://{server}")).ok()?;
    if !url.has_host()
        || !url.path().is_empty()
        || !url.username().is_empty()
        || url.query().is_some()
    {
        return None;
    }

    url.path_segments_mut().ok()?.push(database);
    // The setters escape everything that must be escaped, except the percent sign.
    let escaped = |text: &str| text.replace('%', "%25");
    url.set_username(&escaped(role)).ok()?;
    url.set_password(password.map(escaped).as_deref()).ok()?;

    Some(url)
}
