// gRPC's main interop cases with grpc-go, an HTTP/2 stack of its own. Prints a line for each case: "ok NAME", or
// "failed NAME: REASON". Built in GOPATH mode on Debian's golang-google-grpc-dev, whose test messages it borrows.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	pb "google.golang.org/grpc/test/grpc_testing"
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

func largeUnary(ctx context.Context, client pb.TestServiceClient, options ...grpc.CallOption) error {
	request := &pb.SimpleRequest{ResponseSize: 314159, Payload: payload(271828)}
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
	{"client_compressed_unary", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		return largeUnary(ctx, client, grpc.UseCompressor(gzip.Name))
	}},
	{"client_streaming", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		return clientStreaming(ctx, client)
	}},
	{"client_compressed_streaming", func(ctx context.Context, _ *grpc.ClientConn, client pb.TestServiceClient) error {
		return clientStreaming(ctx, client, grpc.UseCompressor(gzip.Name))
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
		brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		request := output(1)
		request.ResponseParameters[0].IntervalUs = 10000000
		stream, err := client.StreamingOutputCall(brief, request)
		if err == nil {
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
	connection, err := grpc.Dial(os.Args[1], grpc.WithInsecure(), grpc.WithBlock(), grpc.WithTimeout(20*time.Second))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer connection.Close()
	for _, test := range cases {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := test.run(ctx, connection, pb.NewTestServiceClient(connection)); err != nil {
			fmt.Printf("failed %s: %v\n", test.name, err)
		} else {
			fmt.Printf("ok %s\n", test.name)
		}
		cancel()
	}
}
