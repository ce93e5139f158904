// grpc-go. usage: peer PORT
//
// GetStatus answers one fixed job; StreamEvents answers 10,000 events and ends.
package main

import (
	"context"
	"log"
	"net"
	"os"

	"github.com/golang/protobuf/ptypes/timestamp"
	"google.golang.org/grpc"

	wire "orchestrator"
)

const events = 10000

type orchestrator struct {
	wire.UnimplementedOrchestratorServer
	log []*wire.Event
}

func moment() *timestamp.Timestamp {
	return &timestamp.Timestamp{Seconds: 1790000000, Nanos: 123456789}
}

func (s *orchestrator) GetStatus(context.Context, *wire.GetStatusRequest) (*wire.GetStatusResponse, error) {
	return &wire.GetStatusResponse{Job: &wire.Job{
		JobId:        "bench-1",
		JobClass:     wire.JobClass_JOB_CLASS_CPU_SHORT,
		State:        wire.JobState_JOB_STATE_SUCCEEDED,
		Attempt:      1,
		SubmittedAt:  moment(),
		StartedAt:    moment(),
		FinishedAt:   moment(),
		Payload:      []byte(`{"command":["true"]}`),
		LastSequence: 3,
	}}, nil
}

func (s *orchestrator) StreamEvents(_ *wire.StreamEventsRequest, stream wire.Orchestrator_StreamEventsServer) error {
	for _, event := range s.log {
		if err := stream.Send(event); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: peer PORT")
	}
	service := &orchestrator{}
	for sequence := uint64(1); sequence <= events; sequence++ {
		service.log = append(service.log, &wire.Event{
			Sequence: sequence,
			Type:     "task_submitted",
			JobId:    "0199c2a4-5f3e-7c1d-9b7a-3d2f1e0c4b5a",
			Time:     moment(),
			State:    wire.JobState_JOB_STATE_QUEUED,
			Data:     []byte(`{"task_id":"0199c2a4-5f3e-7c1d"}`),
			Source:   "rpc",
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	wire.RegisterOrchestratorServer(server, service)
	log.Fatal(server.Serve(listener))
}
