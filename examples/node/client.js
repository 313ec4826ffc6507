// A gRPC client made from the .proto files as they are: nothing is generated.
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const protos = fileURLToPath(new URL("../../proto", import.meta.url));
const definition = protoLoader.loadSync("rstar/v1/searcher.proto", {
  includeDirs: [protos],
  keepCase: true,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { rstar } = grpc.loadPackageDefinition(definition);

export function connect(Service) {
  const address = process.env.RSTAR_ADDRESS;
  if (!address) throw new Error('RSTAR_ADDRESS is not set; run: eval "$(rstar env)"');
  return new Service(address, grpc.credentials.createInsecure());
}

export const SearcherService = rstar.v1.SearcherService;
export const BatchService = rstar.v1.BatchService;

// One unary call as a promise, with a deadline: without one a lost server is waited for for ever.
export function call(client, method, request, seconds = 300) {
  const deadline = Date.now() + seconds * 1000;
  return new Promise((resolve, reject) => {
    client[method](request, { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}
