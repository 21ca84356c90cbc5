//! URLs of Postgres databases, from their parts.

use reqwest::Url;

/// The role and the database that are taken where nothing else is said.
pub(crate) const USUAL_NAME: &str = "market";

/// A database on `server`, which is a host with or without a port; nothing if it is something else. Names and password
/// may hold anything: what has a meaning in URLs is escaped.
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
    // Of all that must be escaped the percent sign is the one that the setters leave alone.
    let escaped = |text: &str| text.replace('%', "%25");
    url.set_username(&escaped(role)).ok()?;
    url.set_password(password.map(escaped).as_deref()).ok()?;
    Some(url)
}
