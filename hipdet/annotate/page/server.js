// Requests to the server; every failure is a Refusal with the message to show.

export class Refusal extends Error {
  constructor(status, answer) {
    super(answer.error || `the server answered ${status}`);
    this.status = status; // 0: no answer at all
    this.answer = answer;
  }
}

async function ask(path, parameters = {}, options = {}) {
  const query = new URLSearchParams(parameters).toString();
  let response;
  try {
    response = await fetch(`api/${path}${query && "?" + query}`, options);
  } catch {
    throw new Refusal(0, { error: "no answer: is hipdet annotate still running? Start it again with the same --port" });
  }
  if (!response.ok) throw new Refusal(response.status, await response.json().catch(() => ({})));
  return response;
}

export const getOverview = async () => (await ask("overview")).json();
export const getNews = async () => (await ask("news")).json();
export const getFilm = async (name) => (await ask("film", { name })).json();

export async function sendFilm(name, state) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(state) };
  return (await ask("film", { name }, options)).json();
}

/** The picture of a film as {url, size, side}: `size` is [width, height] of the film, `side` the picture's long side. */
export async function getPicture(name, side) {
  const response = await ask("picture", side ? { name, side } : { name });
  const size = ["X-Film-Width", "X-Film-Height"].map((header) => Number(response.headers.get(header)));
  return { url: URL.createObjectURL(await response.blob()), size, side: Math.min(side || Infinity, Math.max(...size)) };
}
