// Requests to the server of the page. The address of the page holds the token.

const RETRY_MS = 1000;

// Send a request and return the answer. An error has a message for the person.
async function ask(path, body) {
  const options = body && {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(`${location.pathname}${path}`, options);
  const text = await response.text();
  if (response.ok) {
    return JSON.parse(text);
  }
  let message = text;
  try {
    message = JSON.parse(text).error;
  } catch {
    // The answer is a plain text.
  }
  throw new Error(message);
}

function pause(ms) {
  return new Promise((done) => {
    setTimeout(done, ms);
  });
}
