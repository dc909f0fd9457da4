// Requests as JSON on standard input, `[{body, headers, secret}]`; what a receiver makes of each on
// standard output: `[{event}]`, or `[{refused}]` with its reason. Bodies are in base64.

export async function each(receive) {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const requests = JSON.parse(Buffer.concat(chunks).toString());
  const answers = requests.map(({ body, headers, secret }) => {
    try {
      return { event: receive(Buffer.from(body, "base64"), headers, secret) };
    } catch (error) {
      return { refused: error.message };
    }
  });
  process.stdout.write(JSON.stringify(answers));
}
