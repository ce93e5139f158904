// gRPC's main interop cases with grpc-go, an HTTP/2 stack of its own. Prints a line for each case: "ok NAME", or
// "failed NAME: REASON". Built in GOPATH mode on Debian's golang-google-grpc-dev.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	pb "wire"
)

var requestSizes = []int{27182, 8, 1828, 45904}
var responseSizes = []int32{31415, 9, 2653, 58979}

func payload(size int) *pb.Payload { return &pb.Payload{Body: make([]byte, size)} }

func output(sizes ...int32) *pb.StreamingOutputCallRequest {
	request := &pb.StreamingOutputCallRequest{}
	for _, size := range sizes {
		request.ResponseParameters = append(request.ResponseParameters, &pb.ResponseParameters{Size: size})
	}
	return request
}

func sized(answer *pb.StreamingOutputCallResponse, err error, size int32) error {
	if err == nil && len(answer.GetPayload().GetBody()) != int(size) {
		return fmt.Errorf("%d bytes; %d asked for", len(answer.GetPayload().GetBody()), size)
	}
	return err
}

// arrivals is told how large the messages that come are on the wire.
type arrivals struct {
	lock sync.Mutex
	last []bool
}

func (*arrivals) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (*arrivals) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (*arrivals) HandleConn(context.Context, stats.ConnStats)                       {}
func (arrivals *arrivals) HandleRPC(_ context.Context, event stats.RPCStats) {
	if came, ok := event.(*stats.InPayload); ok {
		arrivals.lock.Lock()
		defer arrivals.lock.Unlock()
		arrivals.last = append(arrivals.last, came.WireLength < came.Length)
	}
}

// compressed says of each message since the last time whether it came smaller than it is.
func (arrivals *arrivals) compressed() []bool {
	arrivals.lock.Lock()
	defer arrivals.lock.Unlock()
	last := arrivals.last
	arrivals.last = nil
	return last
}

var received = &arrivals{}

// accepting says what the library understands but, at this version, does not say of its own accord.
func accepting(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "grpc-accept-encoding", gzip.Name)
}

func wantCompressed(expected ...bool) error {
	if came := received.compressed(); fmt.Sprint(came) != fmt.Sprint(expected) {
		return fmt.Errorf("compressed: %v; %v asked for", came, expected)
	}
	return nil
}

func dial(address string) (*grpc.ClientConn, error) {
	return grpc.Dial(
		address, grpc.WithInsecure(), grpc.WithBlock(), grpc.WithTimeout(20*time.Second), grpc.WithStatsHandler(received))
}

func wantMessage(err error, message string) error {
	if status.Code(err) != codes.Unknown || status.Convert(err).Message() != message {
		return fmt.Errorf("ended with %v", err)
	}
	return nil
}

func want(err error, code codes.Code) error {
	if status.Code(err) != code {
		return fmt.Errorf("ended with %v; %v expected", err, code)
	}
	return nil
}

type testCase struct {
	name string
	run  func(ctx context.Context, connection *grpc.ClientConn, client pb.TestServiceClient) error
}

func large() *pb.SimpleRequest {
	return &pb.SimpleRequest{ResponseSize: 314159, Payload: payload(271828)}
}

func largeUnary(ctx context.Context, client pb.TestServiceClient, options ...grpc.CallOption) error {
	return unary(ctx, client, large(), options...)
}

func unary(
	ctx context.Context, client pb.TestServiceClient, request *pb.SimpleRequest, options ...grpc.CallOption,
) error {
	answer, err := client.UnaryCall(ctx, request, options...)
	if err == nil && len(answer.GetPayload().GetBody()) != 314159 {
		err = fmt.Errorf("%d bytes", len(answer.GetPayload().GetBody()))
	}
	return err
}

func clientStreaming(ctx context.Context, client pb.TestServiceClient, options ...grpc.CallOption) error {
	stream, err := client.StreamingInputCall(ctx, options...)
	if err != nil {
		return err
	}
	for _, size := range requestSizes {
		if err := stream.Send(&pb.StreamingInputCallRequest{Payload: payload(size)}); err != nil {
			return err
		}
	}
	answer, err := stream.CloseAndRecv()
	if err == nil && answer.AggregatedPayloadSize != 74922 {
		err = fmt.Errorf("the sum is %d", answer.AggregatedPayloadSize)
	}
	return err
}

var cases = []testCase{
	{"empty_unary", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		_, err := client.EmptyCall(ctx, &pb.Empty{})
		return err
	}},
	{"large_unary", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		return largeUnary(ctx, client)
	}},
	{"cacheable_unary", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		sent := metadata.AppendToOutgoingContext(ctx, "x-user-ip", "1.2.3.4", "cache-control", "max-age=60")
		request := &pb.SimpleRequest{ResponseSize: 128, Payload: payload(10)}
		first, err := client.CacheableUnaryCall(sent, request)
		if err != nil {
			return err
		}
		second, err := client.CacheableUnaryCall(sent, request)
		if err == nil && (len(first.Payload.Body) != 128 || first.String() != second.String()) {
			err = fmt.Errorf("%d bytes, then %d", len(first.Payload.Body), len(second.Payload.Body))
		}
		return err
	}},
	{"client_compressed_unary", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		request := large()
		request.ExpectCompressed = &pb.BoolValue{Value: true}
		if err := want(unary(ctx, client, request), codes.InvalidArgument); err != nil {
			return err
		}
		if err := unary(ctx, client, request, grpc.UseCompressor(gzip.Name)); err != nil {
			return err
		}
		request.ExpectCompressed.Value = false
		return unary(ctx, client, request)
	}},
	{"server_compressed_unary", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		received.compressed()
		for _, compressed := range []bool{true, false} {
			request := large()
			request.ResponseCompressed = &pb.BoolValue{Value: compressed}
			if err := unary(accepting(ctx), client, request); err != nil {
				return err
			}
			if err := wantCompressed(compressed); err != nil {
				return err
			}
		}
		return nil
	}},
	{"client_streaming", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		return clientStreaming(ctx, client)
	}},
	// The library compresses all of a call's messages or none, so the second one is compressed too.
	{"client_compressed_streaming", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		probe := &pb.StreamingInputCallRequest{Payload: payload(27182), ExpectCompressed: &pb.BoolValue{Value: true}}
		stream, err := client.StreamingInputCall(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(probe); err != nil {
			return err
		}
		// No half-close: the server has to end the call on its own.
		if err := want(stream.RecvMsg(&pb.StreamingInputCallResponse{}), codes.InvalidArgument); err != nil {
			return err
		}
		stream, err = client.StreamingInputCall(ctx, grpc.UseCompressor(gzip.Name))
		if err != nil {
			return err
		}
		if err := stream.Send(probe); err != nil {
			return err
		}
		if err := stream.Send(&pb.StreamingInputCallRequest{Payload: payload(45904)}); err != nil {
			return err
		}
		answer, err := stream.CloseAndRecv()
		if err == nil && answer.AggregatedPayloadSize != 73086 {
			err = fmt.Errorf("the sum is %d", answer.AggregatedPayloadSize)
		}
		return err
	}},
	{"server_streaming", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		stream, err := client.StreamingOutputCall(ctx, output(responseSizes...))
		if err != nil {
			return err
		}
		for _, size := range responseSizes {
			answer, err := stream.Recv()
			if err := sized(answer, err, size); err != nil {
				return err
			}
		}
		if _, err := stream.Recv(); err != io.EOF {
			return fmt.Errorf("no end but %v", err)
		}
		return nil
	}},
	{"server_compressed_streaming", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		received.compressed()
		request := output(31415, 92653)
		request.ResponseParameters[0].Compressed = &pb.BoolValue{Value: true}
		request.ResponseParameters[1].Compressed = &pb.BoolValue{Value: false}
		stream, err := client.StreamingOutputCall(accepting(ctx), request)
		if err != nil {
			return err
		}
		for _, size := range []int32{31415, 92653} {
			answer, err := stream.Recv()
			if err := sized(answer, err, size); err != nil {
				return err
			}
		}
		if _, err := stream.Recv(); err != io.EOF {
			return fmt.Errorf("no end but %v", err)
		}
		return wantCompressed(true, false)
	}},
	{"ping_pong", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		for index, size := range responseSizes {
			request := output(size)
			request.Payload = payload(requestSizes[index])
			if err := stream.Send(request); err != nil {
				return err
			}
			answer, err := stream.Recv()
			if err := sized(answer, err, size); err != nil {
				return err
			}
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != io.EOF {
			return fmt.Errorf("no end but %v", err)
		}
		return nil
	}},
	{"empty_stream", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != io.EOF {
			return fmt.Errorf("no end but %v", err)
		}
		return nil
	}},
	{"half_duplex", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		stream, err := client.HalfDuplexCall(ctx)
		if err != nil {
			return err
		}
		for _, size := range responseSizes {
			if err := stream.Send(output(size)); err != nil {
				return err
			}
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		for _, size := range responseSizes {
			answer, err := stream.Recv()
			if err := sized(answer, err, size); err != nil {
				return err
			}
		}
		if _, err := stream.Recv(); err != io.EOF {
			return fmt.Errorf("no end but %v", err)
		}
		return nil
	}},
	{"cancel_after_begin", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		cancellable, cancel := context.WithCancel(ctx)
		stream, err := client.StreamingInputCall(cancellable)
		cancel()
		if err != nil {
			return err
		}
		_, err = stream.CloseAndRecv()
		return want(err, codes.Canceled)
	}},
	{"cancel_after_first_response", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		cancellable, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := client.FullDuplexCall(cancellable)
		if err != nil {
			return err
		}
		if err := stream.Send(output(31415)); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		cancel()
		_, err = stream.Recv()
		return want(err, codes.Canceled)
	}},
	{"timeout_on_sleeping_server", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		brief, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		request := output(31415)
		request.Payload = payload(27182)
		request.ResponseParameters[0].IntervalUs = 10000000
		stream, err := client.FullDuplexCall(brief)
		if err == nil {
			// The deadline may pass before the request is sent; the end tells.
			_ = stream.Send(request)
			_, err = stream.Recv()
		}
		return want(err, codes.DeadlineExceeded)
	}},
	{"custom_metadata", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		sent := metadata.AppendToOutgoingContext(
			ctx, "x-grpc-test-echo-initial", "a value", "x-grpc-test-echo-trailing-bin", "\xab\xab\xab")
		var header, trailer metadata.MD
		if err := largeUnary(sent, client, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
			return err
		}
		if got := header.Get("x-grpc-test-echo-initial"); len(got) != 1 || got[0] != "a value" {
			return fmt.Errorf("initial metadata %v", header)
		}
		got := trailer.Get("x-grpc-test-echo-trailing-bin")
		if len(got) != 1 || !bytes.Equal([]byte(got[0]), []byte{0xab, 0xab, 0xab}) {
			return fmt.Errorf("trailing metadata %v", trailer)
		}
		return nil
	}},
	{"status_code_and_message", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		echo := &pb.EchoStatus{Code: int32(codes.Unknown), Message: "test status message"}
		_, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: echo})
		if err := wantMessage(err, echo.Message); err != nil {
			return err
		}
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.StreamingOutputCallRequest{ResponseStatus: echo}); err != nil {
			return err
		}
		_, err = stream.Recv()
		return wantMessage(err, echo.Message)
	}},
	{"special_status_message", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		message := "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
		echo := &pb.EchoStatus{Code: int32(codes.Unknown), Message: message}
		_, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: echo})
		return wantMessage(err, message)
	}},
	{"unimplemented_method", func(ctx context.Context, connection *grpc.ClientConn, _ pb.TestServiceClient) error {
		err := connection.Invoke(ctx, "/grpc.testing.TestService/UnimplementedCall", &pb.Empty{}, &pb.Empty{})
		return want(err, codes.Unimplemented)
	}},
	{"unimplemented_service", func(ctx context.Context, connection *grpc.ClientConn, _ pb.TestServiceClient) error {
		err := connection.Invoke(ctx, "/grpc.testing.UnimplementedService/UnimplementedCall", &pb.Empty{}, &pb.Empty{})
		return want(err, codes.Unimplemented)
	}},
	{"slow_consumer", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		sizes := make([]int32, 2000)
		for index := range sizes {
			sizes[index] = 1030
		}
		stream, err := client.StreamingOutputCall(ctx, output(sizes...))
		if err != nil {
			return err
		}
		for index, size := range sizes {
			answer, err := stream.Recv()
			if err := sized(answer, err, size); err != nil {
				return fmt.Errorf("message %d: %v", index, err)
			}
			if index < 50 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		return nil
	}},
	{"concurrent_large_unary", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		const calls = 200
		ended := make(chan error, calls)
		for number := 0; number < calls; number++ {
			go func() { ended <- largeUnary(ctx, client) }()
		}
		for number := 0; number < calls; number++ {
			if err := <-ended; err != nil {
				return err
			}
		}
		return nil
	}},
	{"rpc_soak", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		for iteration := 0; iteration < 100; iteration++ {
			if err := largeUnary(ctx, client); err != nil {
				return fmt.Errorf("iteration %d: %v", iteration, err)
			}
		}
		return nil
	}},
	{"channel_soak", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		for iteration := 0; iteration < 20; iteration++ {
			connection, err := dial(os.Args[1])
			if err != nil {
				return err
			}
			err = largeUnary(ctx, pb.NewTestServiceClient(connection))
			connection.Close()
			if err != nil {
				return fmt.Errorf("iteration %d: %v", iteration, err)
			}
		}
		return nil
	}},
	{"health", func(ctx context.Context, connection *grpc.ClientConn, _ pb.TestServiceClient) error {
		client := health.NewHealthClient(connection)
		answer, err := client.Check(ctx, &health.HealthCheckRequest{})
		if err == nil && answer.Status != health.HealthCheckResponse_SERVING {
			err = fmt.Errorf("%v", answer.Status)
		}
		if err != nil {
			return err
		}
		_, err = client.Check(ctx, &health.HealthCheckRequest{Service: "no.Such"})
		return want(err, codes.NotFound)
	}},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: interop_go HOST:PORT")
		os.Exit(2)
	}
	connection, err := dial(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer connection.Close()
	for _, test := range cases {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		if err := test.run(ctx, connection, pb.NewTestServiceClient(connection)); err != nil {
			fmt.Printf("failed %s: %v\n", test.name, err)
		} else {
			fmt.Printf("ok %s\n", test.name)
		}
		cancel()
	}
}
